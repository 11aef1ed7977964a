// The calls that make, look up and give up a claim, over the socket when it
// stands and over HTTP otherwise. What their answers mean is in `claim-slice`.
import type { Problem } from "../../api/client";
import type { AppThunk } from "../../app/store";
import { watchSale } from "../sales/sales-actions";
import { selectEntry } from "../sales/sales-slice";
import { selectToken } from "../session/session-slice";
import {
  askAccepted,
  askAnswered,
  askDelayed,
  askFoundSoldOut,
  askRefused,
  askSent,
  claimReported,
  lookUpBegun,
  selectClaimView,
} from "./claim-slice";

/** Sends the buy request. Repeating it is safe; the first outcome stays. */
export function ask(sale: string, answer: string): AppThunk<Promise<void>> {
  return async (dispatch, getState, { api }) => {
    const asked_as = selectToken(getState());
    dispatch(askSent({ sale, answer }));
    const entry = selectEntry(getState(), sale);
    const result = await api.buy(sale, entry === null ? { answer } : { answer, entry });
    if (selectToken(getState()) !== asked_as) return;

    if (!result.ok) {
      dispatch(refusal(sale, result.problem));
      return;
    }
    const { status } = result.body;
    if (status === "sold_out") {
      dispatch(askFoundSoldOut({ sale }));
      // Who waits on must learn it even without the push, to be told "not won".
      const waits = selectClaimView(getState(), sale).request?.phase === "accepted";
      if (waits) dispatch(watchSale(sale));
    } else if (result.status === 202 || status === "queued")
      dispatch(askAccepted({ sale }));
    else dispatch(askAnswered({ sale }));
  };
}

/** Sends the last buy request again, as the protocol asks for in some states. */
export function askAgain(sale: string): AppThunk<Promise<void>> {
  return (dispatch, getState) =>
    dispatch(ask(sale, selectClaimView(getState(), sale).answer));
}

/** Reads the claim. A look-up that fails counts, so that the next one backs off. */
export function lookUp(sale: string): AppThunk<Promise<void>> {
  return async (dispatch, getState, { api, live }) => {
    const asked_as = selectToken(getState());
    if (asked_as === null) return;
    dispatch(lookUpBegun(sale));
    let claim = await live.lookUp(sale);
    if (claim === null) {
      const answer = await api.getClaim(sale);
      if (answer.ok) claim = answer.body;
    }
    if (claim !== null && claim !== "refused" && selectToken(getState()) === asked_as)
      dispatch(claimReported({ ...claim, sale }));
  };
}

/** Resolves to null when given up, else to the problem's code. */
export function giveUp(sale: string): AppThunk<Promise<string | null>> {
  return async (dispatch, getState, { api }) => {
    const rev = selectClaimView(getState(), sale).claim?.rev ?? 0;
    const answer = await api.giveUp(sale, rev);
    if (answer.ok) {
      dispatch(claimReported({ ...answer.body, sale }));
      return null;
    }
    // What was on the page is no longer so: show what is.
    if (answer.problem.status === 409 || answer.problem.status === 404)
      void dispatch(lookUp(sale));
    return answer.problem.code;
  };
}

function refusal(sale: string, problem: Problem): AppThunk {
  return (dispatch) => {
    const { code, status, retry_after_ms } = problem;
    const busy = status === 429 || status === 408 || status >= 500;
    if (busy || code === "offline") {
      const reason = code === "offline" ? "offline" : "busy";
      dispatch(askDelayed({ sale, reason, retry_after_ms }));
      return;
    }
    dispatch(askRefused({ sale, code }));
    // The page thought otherwise: its state, or its entry secret, is out of date.
    if (status === 403) dispatch(watchSale(sale));
  };
}
