// A server made of two functions, for tests: it answers HTTP calls from a table
// and pushes what the test tells it to. Nothing of it waits or is random.
import type { Socket } from "socket.io-client";
import type { Claim, Sale } from "../api/types";
import type { Seams } from "../app/store";

export const START_MS = Date.parse("2026-11-22T06:00:00.000Z");

/** An answer of the HTTP table; `null` is a server that cannot be reached. */
export type Reply = { status: number; body: unknown; retry_after_s?: number } | null;

export interface Call {
  route: string;
  body: unknown;
  headers: Record<string, string>;
}

type Listener = (payload: never) => void;

export interface FakeServer extends Pick<Seams, "fetch" | "openSocket"> {
  /** `POST /sales/1/requests` → the replies in turn; the last one stays. */
  replies: Record<string, Reply[]>;
  calls: Call[];
  /** Acknowledgements by event name; an event without one gets no answer. */
  acks: Record<string, (payload: { sale: string }) => unknown>;
  emitted: { event: string; payload: unknown }[];
  /** The `auth` of each connection, newest last. */
  connections: (string | null)[];
  connect: () => void;
  disconnect: () => void;
  refuse: (message: string) => void;
  push: (event: string, payload: unknown) => void;
  count: (route: string) => number;
}

export function fakeServer(): FakeServer {
  let listeners: Record<string, Listener> = {};
  const socket = {
    connected: false,
    active: true,
    on: (event: string, listener: Listener) => {
      listeners[event] = listener;
    },
    connect: () => {},
    disconnect: () => {
      socket.connected = false;
    },
    removeAllListeners: () => {
      listeners = {};
    },
    timeout: () => ({
      emitWithAck: async (event: string, payload: { sale: string }) => {
        server.emitted.push({ event, payload });
        const ack = server.acks[event];
        if (ack === undefined || !socket.connected) throw new Error("timed out");
        return ack(payload);
      },
    }),
  };
  const server: FakeServer = {
    replies: {},
    calls: [],
    acks: {},
    emitted: [],
    connections: [],
    fetch: async (input, init) => {
      const route = `${init?.method ?? "GET"} ${String(input).replace("/api/v1", "")}`;
      const body = typeof init?.body === "string" ? JSON.parse(init.body) : null;
      server.calls.push({
        route,
        body,
        headers: init?.headers as Record<string, string>,
      });
      const queue = server.replies[route] ?? [];
      const reply = queue.length > 1 ? queue.shift() : queue[0];
      if (reply === null) throw new TypeError("network");
      const {
        status,
        body: answer,
        retry_after_s,
      } = reply ?? {
        status: 404,
        body: { code: "not_found" },
      };
      const headers: Record<string, string> =
        retry_after_s === undefined ? {} : { "Retry-After": String(retry_after_s) };
      return new Response(JSON.stringify(answer), { status, headers });
    },
    openSocket: (token) => {
      server.connections.push(token);
      return socket as unknown as Socket;
    },
    connect: () => {
      socket.connected = true;
      listeners.connect?.(undefined as never);
    },
    disconnect: () => {
      socket.connected = false;
      listeners.disconnect?.("transport close" as never);
    },
    refuse: (message) => listeners.connect_error?.(new Error(message) as never),
    push: (event, payload) => listeners[event]?.(payload as never),
    count: (route) => server.calls.filter((call) => call.route === route).length,
  };
  return server;
}

export function aSale(over: Partial<Sale> = {}): Sale {
  return {
    id: "1",
    title: "Console",
    description: "",
    image: null,
    price: { amount: "49.90", currency: "USD" },
    list_price: null,
    stock: 100,
    state: "open",
    starts_at: "2026-11-22T06:00:00.000Z",
    ends_at: "2026-11-22T06:15:00.000Z",
    hold_seconds: 600,
    question: null,
    server_time: "2026-11-22T06:00:00.000Z",
    ...over,
  };
}

export function aClaim(over: Partial<Claim> = {}): Claim {
  return { sale: "1", status: "none", rev: 0, server_time: serverTime(), ...over };
}

export function serverTime(): string {
  return new Date(Date.now()).toISOString();
}

/** What a signed-in person's store starts with. */
export const SIGNED_IN = {
  session: {
    session: {
      token: "token-1",
      expires_at_ms: START_MS + 86_400_000,
      user: { id: "7", email: "mei@example.com", name: "Mei Lin", role: null },
    },
    ended: false,
  },
} as const;
