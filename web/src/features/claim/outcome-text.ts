// The two sentences for each outcome: what it is, and what it means.
import { useText } from "../../i18n";
import type { Dictionary } from "../../i18n/en";
import type { ClaimView, Outcome } from "./rule";

export interface OutcomeText {
  title: string;
  hint: string;
}

export function useOutcomeText(outcome: Outcome, view: ClaimView): OutcomeText {
  return outcomeText(outcome, view, useText());
}

function outcomeText(outcome: Outcome, view: ClaimView, t: Dictionary): OutcomeText {
  const o = t.outcome;
  switch (outcome) {
    case "idle":
      return { title: "", hint: "" };
    case "sending":
      return { title: o.sending, hint: o.sending_hint };
    case "waiting":
      return isOffline(view)
        ? { title: o.waiting_offline, hint: "" }
        : { title: o.waiting_busy, hint: "" };
    case "queued":
      return { title: o.queued, hint: o.queued_hint };
    case "reserved":
      return { title: o.reserved, hint: o.reserved_hint };
    case "standby":
      return { title: o.standby, hint: o.standby_hint };
    case "rejected":
      // With a row it was a place in standby that ended.
      return (view.claim?.rev ?? 0) > 0
        ? { title: o.standby_over, hint: o.standby_over_hint }
        : { title: o.rejected, hint: o.rejected_hint };
    case "not_won":
      return { title: o.not_won, hint: o.not_won_hint };
    case "sold_out":
      return { title: o.sold_out, hint: o.sold_out_hint };
    case "paying":
      return { title: o.paying, hint: o.paying_hint };
    case "paid":
      return { title: o.paid, hint: o.paid_hint };
    case "expired":
      return { title: o.expired, hint: o.expired_hint };
    case "released":
      return { title: o.released, hint: o.released_hint };
    case "left":
      return { title: o.left, hint: o.left_hint };
    case "refunded":
      return { title: o.refunded, hint: o.refunded_hint };
  }
}

function isOffline(view: ClaimView): boolean {
  return view.request?.phase === "waiting" && view.request.reason === "offline";
}
