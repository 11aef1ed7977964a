// The orders of the person signed in, newest first, as the server lists them.
import { createSlice, type PayloadAction } from "@reduxjs/toolkit";
import type { Order, Page } from "../../api/types";
import type { AppThunk } from "../../app/store";
import { sessionEnded, signedIn, signedOut } from "../session/session-slice";

export interface OrdersState {
  by_id: Record<string, Order>;
  /** Null before the list was read. */
  listed: string[] | null;
  next: string | null;
  /** Problem code of the last failed call. */
  problem: string | null;
}

const initialState: OrdersState = { by_id: {}, listed: null, next: null, problem: null };

const slice = createSlice({
  name: "orders",
  initialState,
  reducers: {
    listRead(state, { payload }: PayloadAction<{ page: Page<Order>; first: boolean }>) {
      const ids = payload.page.items.map((order) => order.id);
      const before = payload.first ? [] : (state.listed ?? []);
      state.listed = [...before.filter((id) => !ids.includes(id)), ...ids];
      state.next = payload.page.next;
      state.problem = null;
      for (const order of payload.page.items) state.by_id[order.id] = order;
    },
    orderRead(state, { payload }: PayloadAction<Order>) {
      state.by_id[payload.id] = payload;
      state.problem = null;
    },
    readFailed(state, { payload }: PayloadAction<string>) {
      state.problem = payload;
    },
  },
  extraReducers: (builder) => {
    builder
      .addCase(signedIn, () => initialState)
      .addCase(signedOut, () => initialState)
      .addCase(sessionEnded, () => initialState);
  },
  selectors: {
    selectOrder: (state, id: string): Order | null => state.by_id[id] ?? null,
    selectOrders: (state) => state.by_id,
    selectListed: (state) => state.listed,
    selectNextPage: (state) => state.next,
    selectOrdersProblem: (state) => state.problem,
  },
});

const { listRead, readFailed } = slice.actions;
export const { orderRead } = slice.actions;
export const {
  selectOrder,
  selectOrders,
  selectListed,
  selectNextPage,
  selectOrdersProblem,
} = slice.selectors;
export const ordersReducer = slice.reducer;

/** Reads the first page, or the page after those known. */
export function readOrders(first: boolean): AppThunk<Promise<void>> {
  return async (dispatch, getState, { api }) => {
    const answer = await api.listOrders(first ? null : selectNextPage(getState()));
    if (answer.ok) dispatch(listRead({ page: answer.body, first }));
    else dispatch(readFailed(answer.problem.code));
  };
}

export function readOrder(id: string): AppThunk<Promise<void>> {
  return async (dispatch, _getState, { api }) => {
    const answer = await api.getOrder(id);
    if (answer.ok) dispatch(orderRead(answer.body));
    else dispatch(readFailed(answer.problem.code));
  };
}
