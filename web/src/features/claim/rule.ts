// The client's side of the protocol, as pure functions: which of two reports
// of a claim holds, what a person should be shown, when to look up or to ask
// again, and the place in standby. No clock, no randomness, no I/O: times and
// jitter (0 to 1) are parameters. `claim-slice` keeps the state, `claim-steps`
// carries the steps out.
import type { Claim, ClaimStatus, SaleState, StandbyEvent } from "../../api/types";

/** What became of the last press on "buy", until an outcome is known. */
export type Request =
  | { phase: "sending" }
  /** The server is busy or out of reach; the request is sent again by itself. */
  | { phase: "waiting"; reason: "busy" | "offline"; retry_at_ms: number }
  /** 202: accepted, not yet told. `read` is what the last look-up due said. */
  | { phase: "accepted"; at_ms: number; read: "none" | "queued" | null }
  /** A refusal that the person can do something about, by its problem code. */
  | { phase: "refused"; code: string }
  /** 200 `sold_out`. */
  | { phase: "sold_out" };

/** Everything known of one person's claim in one sale. */
export interface ClaimView {
  /** The report that holds; null before the first. */
  claim: Claim | null;
  request: Request | null;
  /** The answer last given, to send the same again. */
  answer: string;
  /** Whether the request was sent after a rejection without a row. */
  asks_anew: boolean;
  /** How often the buy call has been answered "busy" in a row. */
  busy_count: number;
  /** Look-ups since the last change, and when the latest was begun. */
  look_ups: number;
  looked_up_at_ms: number;
  /** A look-up that an event gave reason for. */
  look_up_due_ms: number | null;
  /** When the claim last changed. */
  changed_at_ms: number;
  /** Drawn anew with each event, so that a crowd does not look up in step. */
  jitter: number;
}

export const EMPTY_VIEW: ClaimView = {
  claim: null,
  request: null,
  answer: "",
  asks_anew: false,
  busy_count: 0,
  look_ups: 0,
  looked_up_at_ms: 0,
  look_up_due_ms: null,
  changed_at_ms: 0,
  jitter: 0,
};

/** What the page shows; `not_won` is a 202 whose rejection left no trace. */
export type Outcome =
  | Exclude<ClaimStatus, "none">
  | "idle"
  | "sending"
  | "waiting"
  | "sold_out"
  | "not_won";

/** PROTOCOL: a client untold this long after its 202 looks up. */
export const UNTOLD_MS = 5_000;
/** PROTOCOL: with `none` read while the sale is open, ask again after this long. */
export const ASK_AGAIN_MS = 10_000;
/** How long look-ups go on after a claim was shown as not won. */
const NOT_WON_LOOK_UPS_MS = 120_000;
/** A deadline or a payment is given this long to be reported by push. */
const OVERDUE_MS = 1_000;
const PAYING_MS = 5_000;
/** Whoever stands by looks up about so often: the promotion may not have come. */
const STANDBY_MS = 60_000;
/** Look-ups that a shared event calls for are spread over this time. */
const SPREAD_MS = 2_000;
const BACK_OFF_FIRST_MS = 2_000;
const BACK_OFF_MAX_MS = 30_000;

/**
 * The report that holds of two. Higher `rev` wins; the same `rev` is
 * refreshed; without a row (`rev` 0) `rejected` outweighs `queued`, and that
 * `none`, since a look-up between request and decision may say any of them.
 */
export function mergeClaim(held: Claim | null, report: Claim): Claim {
  if (held === null) return report;
  if (report.rev !== held.rev) return report.rev > held.rev ? report : held;
  if (report.rev === 0)
    return weightWithoutRow(report) >= weightWithoutRow(held) ? report : held;
  return { ...held, ...report };
}

function weightWithoutRow(claim: Claim): number {
  if (claim.status === "none") return 0;
  return claim.status === "queued" ? 1 : 2;
}

/** A rejection that left no row, after which one may ask anew. */
export function isBareRejection(claim: Claim): boolean {
  return claim.status === "rejected" && claim.rev === 0;
}

/**
 * Whether a report ends the wait of someone with a 202. Of someone who asks
 * anew, a rejection without a row may be the earlier one: it says no more than
 * `none` does.
 */
export function tells(claim: Claim, asks_anew: boolean): boolean {
  if (asks_anew && isBareRejection(claim)) return false;
  return claim.status !== "none" && claim.status !== "queued";
}

export function outcomeOf(view: ClaimView, sale: SaleState | null): Outcome {
  const { claim, request } = view;
  if (claim !== null && claim.rev > 0 && claim.status !== "none") return claim.status;
  if (request?.phase === "sending") return "sending";
  if (request?.phase === "waiting") return "waiting";
  if (request?.phase === "accepted") return isNotWon(view, sale) ? "not_won" : "queued";
  if (request?.phase === "sold_out") return "sold_out";
  if (claim === null || claim.status === "none" || request?.phase === "refused")
    return "idle";
  return claim.status;
}

function isNotWon(view: ClaimView, sale: SaleState | null): boolean {
  return (
    view.request?.phase === "accepted" &&
    view.request.read === "none" &&
    (sale === "sold_out" || sale === "ended")
  );
}

/** Whether a buy call can still change anything for this person. */
export function canAsk(outcome: Outcome, claim: Claim | null): boolean {
  if (outcome === "rejected") return claim === null || isBareRejection(claim);
  return outcome === "idle" || outcome === "sold_out" || outcome === "not_won";
}

/** Whether the claim holds a unit or a place that can be given up. */
export function canGiveUp(outcome: Outcome): boolean {
  return outcome === "reserved" || outcome === "standby";
}

/** Whether `sold_out` is a reason to look up: with a 202, or with a claim. */
export function looksUpOnSoldOut(view: ClaimView): boolean {
  return (
    view.request?.phase === "accepted" ||
    view.request?.phase === "waiting" ||
    (view.claim !== null && view.claim.rev > 0)
  );
}

export interface Step {
  do: "look_up" | "ask";
  /** On this device's clock. */
  at_ms: number;
}

/**
 * The next thing to do without being told, or null. `offset_ms` is how far
 * the server's clock is ahead. Doing it changes the view, and so the step.
 */
export function nextStep(
  view: ClaimView,
  sale: SaleState | null,
  offset_ms: number,
): Step | null {
  const steps = [
    stepOfRequest(view, sale),
    stepOfClaim(view, offset_ms),
    view.look_up_due_ms === null ? null : lookUp(view.look_up_due_ms),
  ].filter((step) => step !== null);
  return steps.reduce<Step | null>(
    (first, step) => (first === null || step.at_ms < first.at_ms ? step : first),
    null,
  );
}

function stepOfRequest(view: ClaimView, sale: SaleState | null): Step | null {
  const { request } = view;
  if (request?.phase === "waiting") return { do: "ask", at_ms: request.retry_at_ms };
  if (request?.phase !== "accepted") return null;

  const next_look_up_ms =
    view.look_ups === 0
      ? request.at_ms + UNTOLD_MS + view.jitter * 1_000
      : afterBackOff(view);
  if (isNotWon(view, sale)) {
    const worth_it = next_look_up_ms < request.at_ms + NOT_WON_LOOK_UPS_MS;
    return worth_it ? lookUp(next_look_up_ms) : null;
  }
  if (request.read === "none" && sale === "open")
    return { do: "ask", at_ms: request.at_ms + ASK_AGAIN_MS + view.jitter * 2_000 };
  return lookUp(next_look_up_ms);
}

function stepOfClaim(view: ClaimView, offset_ms: number): Step | null {
  const { claim } = view;
  if (claim?.status === "reserved" && claim.deadline !== undefined) {
    const deadline_ms = Date.parse(claim.deadline) - offset_ms;
    if (Number.isNaN(deadline_ms)) return null;
    const due_ms = deadline_ms + OVERDUE_MS + view.jitter * SPREAD_MS;
    const looked_up_since = view.looked_up_at_ms >= deadline_ms + OVERDUE_MS;
    return lookUp(looked_up_since ? afterBackOff(view) : due_ms);
  }
  if (claim?.status === "paying") {
    const first_ms = view.changed_at_ms + PAYING_MS + view.jitter * 1_000;
    return lookUp(view.look_ups === 0 ? first_ms : afterBackOff(view));
  }
  if (claim?.status === "standby") {
    const known_ms = Math.max(view.changed_at_ms, view.looked_up_at_ms);
    return lookUp(known_ms + STANDBY_MS * (0.5 + view.jitter));
  }
  if (claim !== null && lacksOrder(claim))
    return lookUp(view.look_ups === 0 ? view.changed_at_ms : afterBackOff(view));
  return null;
}

/** Whether it is paid and the report, which may be an event, names no order yet. */
function lacksOrder(claim: Claim): boolean {
  const has_one = claim.status === "paid" || claim.status === "refunded";
  return has_one && claim.order === undefined;
}

function lookUp(at_ms: number): Step {
  return { do: "look_up", at_ms };
}

function afterBackOff(view: ClaimView): number {
  return view.looked_up_at_ms + backOffMs(view.look_ups, view.jitter);
}

/** Doubles from 2 s to 30 s, each between half and one and a half of that. */
export function backOffMs(count: number, jitter: number): number {
  const full_ms = Math.min(
    BACK_OFF_MAX_MS,
    BACK_OFF_FIRST_MS * 2 ** Math.max(0, count - 1),
  );
  return full_ms * (0.5 + jitter);
}

/** When to look up after an event that a crowd received at once. */
export function spreadMs(jitter: number): number {
  return jitter * SPREAD_MS;
}

/**
 * When to send the buy call again: never before Retry-After, and up to half
 * as much later. Without one, backs off from 1 s to 10 s.
 */
export function retryMs(
  retry_after_ms: number | null,
  busy_count: number,
  jitter: number,
): number {
  const wait_ms =
    retry_after_ms ?? Math.min(10_000, 1_000 * 2 ** Math.max(0, busy_count - 1));
  return wait_ms + jitter * Math.max(500, wait_ms / 2);
}

/**
 * The place in standby, from 1, or null if it cannot be told. `seq` also
 * counts people who are not standing by, so each figure only bounds the place
 * from above; the least of them holds, as a place never gets worse.
 */
export function positionOf(
  claim: Claim,
  tick: Pick<StandbyEvent, "serving_seq" | "standing"> | null,
): number | null {
  const bounds: number[] = [];
  if (claim.position !== undefined) bounds.push(claim.position);
  if (claim.seq !== undefined && tick !== null)
    bounds.push(claim.seq - tick.serving_seq, tick.standing);
  return bounds.length === 0 ? null : Math.max(1, Math.min(...bounds));
}
