// One attempt to pay for a reservation: whether it is under way, and what was
// wrong with the last one. The claim itself says what came of it.
import { createSlice, type PayloadAction } from "@reduxjs/toolkit";
import type { CheckoutBody, Order } from "../../api/types";
import type { AppThunk } from "../../app/store";
import { lookUp } from "../claim/claim-actions";
import { claimReported, endAwaited, selectClaimView } from "../claim/claim-slice";
import { orderRead } from "../orders/orders-slice";

export interface CheckoutState {
  /** The sale whose payment was sent and is not answered yet. */
  sending: string | null;
  /** A payment answered 202, and the claim's `rev` when it was sent. */
  awaiting: { sale: string; rev: number } | null;
  /** Problem code of the last attempt. */
  problem: string | null;
}

const initialState: CheckoutState = { sending: null, awaiting: null, problem: null };

const slice = createSlice({
  name: "checkout",
  initialState,
  reducers: {
    checkoutOpened: () => initialState,
    paymentSent(state, { payload }: PayloadAction<string>) {
      state.sending = payload;
      state.problem = null;
    },
    paymentUnderWay(state, { payload }: PayloadAction<{ sale: string; rev: number }>) {
      state.sending = null;
      state.awaiting = payload;
    },
    paymentEnded(state, { payload }: PayloadAction<{ problem: string | null }>) {
      state.sending = null;
      state.awaiting = null;
      state.problem = payload.problem;
    },
  },
  extraReducers: (builder) => {
    builder.addCase(claimReported, (state, { payload }) => {
      const { awaiting } = state;
      if (awaiting?.sale !== payload.sale || payload.status === "paying") return;
      // A look-up may be a moment behind the payment it is to report on.
      if (payload.rev <= awaiting.rev) return;
      state.awaiting = null;
      // Back to reserved after a 202 is how a decline is told.
      state.problem = payload.status === "reserved" ? "payment_declined" : null;
    });
  },
  selectors: {
    selectCheckout: (state) => state,
  },
});

const { paymentSent, paymentUnderWay, paymentEnded } = slice.actions;
export const { checkoutOpened } = slice.actions;
export const { selectCheckout } = slice.selectors;
export const checkoutReducer = slice.reducer;

/** Problems after which only a look-up says how things stand. */
const LOOK_UP_AFTER = new Set([
  "offline",
  "already_paid",
  "payment_in_progress",
  "reservation_over",
  "token_expired",
  "unauthenticated",
]);

/** Pays for the reservation; resolves to the order when it is paid at once. */
export function checkOut(
  sale: string,
  body: CheckoutBody,
): AppThunk<Promise<Order | null>> {
  return async (dispatch, getState, { api }) => {
    const { claim } = selectClaimView(getState(), sale);
    const token = claim?.checkout_token;
    if (token === undefined) {
      dispatch(paymentEnded({ problem: "token_expired" }));
      await dispatch(lookUp(sale));
      return null;
    }
    dispatch(paymentSent(sale));
    const answer = await api.checkOut(token, body);
    if (!answer.ok) {
      dispatch(paymentEnded({ problem: answer.problem.code }));
      const unclear =
        LOOK_UP_AFTER.has(answer.problem.code) || answer.problem.status >= 500;
      if (unclear) await dispatch(lookUp(sale));
      return null;
    }
    if (!("id" in answer.body)) {
      dispatch(paymentUnderWay({ sale, rev: claim?.rev ?? 0 }));
      dispatch(endAwaited(sale));
      return null;
    }
    dispatch(paymentEnded({ problem: null }));
    dispatch(orderRead(answer.body));
    void dispatch(lookUp(sale));
    return answer.body;
  };
}
