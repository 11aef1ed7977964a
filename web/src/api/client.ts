// The one place that talks HTTP. Every call answers with a value, also when
// the server refuses or cannot be reached; nothing here throws.
// Not for sentences shown to people: `i18n` has one for each problem code.
import type {
  BuyAnswer,
  CheckoutBody,
  Claim,
  Order,
  Page,
  Sale,
  SignedIn,
} from "./types";

/** What went wrong, by the server's stable `code`, or `offline` / `unknown`. */
export interface Problem {
  status: number;
  code: string;
  /** Milliseconds the server asks to wait, from Retry-After; null if it says nothing. */
  retry_after_ms: number | null;
}

export type Answer<T> =
  | { ok: true; status: number; body: T }
  | { ok: false; problem: Problem };

/** When a call left and when its answer came, both on this device's clock. */
export interface RoundTrip {
  sent_ms: number;
  received_ms: number;
}

export interface ApiOptions {
  fetch: typeof fetch;
  /** The session token, if signed in. */
  token: () => string | null;
  /** The value for Accept-Language. */
  language: () => string;
  /** Told when the server no longer accepts the session token that was sent. */
  onUnauthenticated: (token: string) => void;
  /** Told the `server_time` of each answer that carries one. */
  onServerTime: (server_time: string, trip: RoundTrip) => void;
}

export type Api = ReturnType<typeof createApi>;

/** The calls of the contract that the buyer's pages make. */
export function createApi(options: ApiOptions) {
  const call = createCall(options);
  const sale = (id: string) => `/sales/${encodeURIComponent(id)}`;
  return {
    signUp: (body: { email: string; name: string; password: string }) =>
      call<SignedIn>("POST", "/users", { body, token: null }),
    signIn: (body: { email: string; password: string }) =>
      call<SignedIn>("POST", "/sessions", { body, token: null }),

    listSales: (next: string | null) => call<Page<Sale>>("GET", `/sales${page(next)}`),
    getSale: (id: string) => call<Sale>("GET", sale(id)),

    /** Safe to repeat: a person has one claim in a sale, ever. */
    buy: (id: string, body: { answer: string; entry?: string }) =>
      call<BuyAnswer>("POST", `${sale(id)}/requests`, { body }),
    getClaim: (id: string) => call<Claim>("GET", `${sale(id)}/claim`),
    /** `rev` names the claim as it was seen; a newer one answers `claim_changed`. */
    giveUp: (id: string, rev: number) =>
      call<Claim>("DELETE", `${sale(id)}/claim?rev=${rev}`),

    /** 201 the order, or 202 while the payment is under way. */
    checkOut: (checkout_token: string, body: CheckoutBody) =>
      call<Order | { status: "paying" }>("POST", "/checkout", {
        body,
        token: checkout_token,
      }),
    listOrders: (next: string | null) => call<Page<Order>>("GET", `/orders${page(next)}`),
    getOrder: (id: string) => call<Order>("GET", `/orders/${encodeURIComponent(id)}`),
  };
}

function page(next: string | null): string {
  return next === null ? "" : `?after=${encodeURIComponent(next)}`;
}

interface CallOptions {
  body?: unknown;
  /** Overrides the session token; null sends none. */
  token?: string | null;
}

function createCall(options: ApiOptions) {
  return async function call<T>(
    method: string,
    path: string,
    { body, token: override }: CallOptions = {},
  ): Promise<Answer<T>> {
    const token = override === undefined ? options.token() : override;
    const headers: Record<string, string> = {
      Accept: "application/json",
      "Accept-Language": options.language(),
    };
    if (token !== null) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";

    const sent_ms = Date.now();
    let response: Response;
    let parsed: unknown;
    try {
      response = await options.fetch(`/api/v1${path}`, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        cache: "no-store",
        // For the cookie that says that this browser wrote a moment ago.
        credentials: "same-origin",
      });
      parsed = await readJson(response);
    } catch {
      return { ok: false, problem: { status: 0, code: "offline", retry_after_ms: null } };
    }

    // An answer that a cache kept carries the time at which it was made.
    const cached = Number(response.headers.get("Age") ?? 0) > 0;
    const server_time = field(parsed, "server_time");
    if (server_time !== null && !cached)
      options.onServerTime(server_time, { sent_ms, received_ms: Date.now() });

    if (response.ok) return { ok: true, status: response.status, body: parsed as T };

    const code = field(parsed, "code") ?? "unknown";
    const session_refused = response.status === 401 && override === undefined;
    if (session_refused && token !== null) options.onUnauthenticated(token);
    return {
      ok: false,
      problem: {
        status: response.status,
        code,
        retry_after_ms: retryAfterMs(response.headers.get("Retry-After")),
      },
    };
  };
}

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's own error page is not JSON; the status still says enough.
    return null;
  }
}

function field(value: unknown, name: string): string | null {
  if (typeof value !== "object" || value === null) return null;
  const found = (value as Record<string, unknown>)[name];
  return typeof found === "string" ? found : null;
}

/** Retry-After is either seconds or an HTTP date (RFC 9110, 10.2.3). */
function retryAfterMs(header: string | null): number | null {
  if (header === null) return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}
