// The one owner of the Socket.IO connection. It keeps one socket for the
// session as it is now, watches sales, turns events into actions, and on each
// (re)connection watches and looks up again.
// Not for the rules of a claim (`claim/rule.ts`) nor for when to look up.

import type { UnknownAction } from "@reduxjs/toolkit";
import type { Socket } from "socket.io-client";
import type {
  Claim,
  ClockEvent,
  SaleEvent,
  StandbyEvent,
  WatchAck,
} from "../../api/types";
import { claimReported } from "../claim/claim-slice";
import { saleChanged, standbyTicked } from "../sales/sales-slice";
import { sessionEnded } from "../session/session-slice";
import { samplePush, sampleRoundTrip } from "./clock";
import { clockSampled, connected, disconnected } from "./live-slice";

/** Makes a socket that is not connected yet. `token` is null for a stranger. */
export type OpenSocket = (token: string | null) => Socket;

export interface Live {
  /** Connects as this person, dropping an earlier connection. */
  connectAs: (token: string | null) => void;
  isConnected: () => boolean;
  /** Follows a sale until the page is left. Repeating it asks for the state anew. */
  watch: (sale: string) => void;
  /**
   * The claim by the `lookup` event. `refused` if the server would not say,
   * which is no reason to ask it by another way; null if no answer came in time.
   */
  lookUp: (sale: string) => Promise<Claim | "refused" | null>;
}

const ACK_TIMEOUT_MS = 4_000;
const LATER_FIRST_MS = 1_000;
const LATER_SPREAD_MS = 4_000;

/** Until something is tried again: not at the same moment by everybody. */
const laterMs = () => LATER_FIRST_MS + Math.random() * LATER_SPREAD_MS;

export function createLive(
  open: OpenSocket,
  dispatch: (action: UnknownAction) => unknown,
): Live {
  const watched = new Set<string>();
  /** Sales that are to be watched later, as that did not work. */
  const put_off = new Map<string, ReturnType<typeof setTimeout>>();
  let socket: Socket | null = null;
  let signed_in = false;
  let half_trip_ms: number | null = null;

  async function emitWithAck<T>(
    from: Socket,
    event: string,
    payload: unknown,
  ): Promise<T | null> {
    const sent_ms = Date.now();
    try {
      const ack: T = await from.timeout(ACK_TIMEOUT_MS).emitWithAck(event, payload);
      half_trip_ms = (Date.now() - sent_ms) / 2;
      return ack;
    } catch {
      return null;
    }
  }

  async function watchOn(from: Socket, sale: string) {
    clearTimeout(put_off.get(sale));
    const ack = await emitWithAck<WatchAck | { code: string }>(from, "watch", { sale });
    if (from !== socket) return;
    if (ack === null || "code" in ack) {
      // Whoever does not watch hears nothing, so ask again, unless there is nothing to hear.
      if (ack?.code !== "no_such_sale") watchLater(from, sale);
      return;
    }
    dispatch(saleChanged({ ...ack, sale }));
    if (ack.standby) dispatch(standbyTicked({ ...ack.standby, sale }));
    if (!signed_in) return;
    const claim = ack.claim ?? (await lookUpOn(from, sale));
    if (claim && claim !== "refused" && from === socket)
      dispatch(claimReported({ ...claim, sale }));
  }

  function watchLater(on: Socket, sale: string) {
    clearTimeout(put_off.get(sale));
    const again = () => {
      if (on === socket && on.connected) void watchOn(on, sale);
    };
    put_off.set(sale, setTimeout(again, laterMs()));
  }

  async function lookUpOn(from: Socket, sale: string): Promise<Claim | "refused" | null> {
    const sent_ms = Date.now();
    const claim = await emitWithAck<Claim>(from, "lookup", { sale });
    if (claim === null) return null;
    if (typeof claim.status !== "string") return "refused";
    const sample = sampleRoundTrip(claim.server_time, sent_ms, Date.now());
    if (sample !== null) dispatch(clockSampled(sample));
    return claim;
  }

  function listen(to: Socket, token: string | null) {
    const reconnectLater = () => {
      setTimeout(() => {
        if (to === socket) to.connect();
      }, laterMs());
    };
    to.on("connect", () => {
      dispatch(connected());
      for (const sale of watched) void watchOn(to, sale);
    });
    to.on("disconnect", (reason) => {
      dispatch(disconnected());
      // The library does not come back by itself when the server hung up.
      if (reason === "io server disconnect") reconnectLater();
    });
    to.on("connect_error", (error) => {
      dispatch(disconnected());
      if (error.message === "unauthenticated" && token !== null)
        dispatch(sessionEnded(token));
      else if (!to.active) reconnectLater();
    });
    to.on("clock", (event: ClockEvent) => {
      const sample = samplePush(event.now, Date.now(), half_trip_ms);
      if (sample !== null) dispatch(clockSampled(sample));
    });
    to.on("sale", (event: SaleEvent) => dispatch(saleChanged(event)));
    to.on("claim", (claim: Claim) => dispatch(claimReported(claim)));
    to.on("standby", (event: StandbyEvent) => dispatch(standbyTicked(event)));
  }

  return {
    connectAs(token) {
      socket?.removeAllListeners();
      socket?.disconnect();
      half_trip_ms = null;
      signed_in = token !== null;
      socket = open(token);
      listen(socket, token);
      socket.connect();
    },
    isConnected: () => socket?.connected ?? false,
    watch(sale) {
      watched.add(sale);
      if (socket?.connected) void watchOn(socket, sale);
    },
    lookUp: async (sale) => (socket?.connected ? lookUpOn(socket, sale) : null),
  };
}
