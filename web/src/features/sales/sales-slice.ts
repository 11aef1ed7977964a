// The sales this page knows: their texts over HTTP, their state over the
// socket. State is only ever what the server said: reaching the opening time
// changes nothing here by itself. `sales-actions.ts` makes the calls.
import { createSlice, type PayloadAction } from "@reduxjs/toolkit";
import type { Page, Sale, SaleEvent, SaleState, StandbyEvent } from "../../api/types";
import { localeChosen } from "../settings/settings-slice";

export interface SalesState {
  by_id: Record<string, Sale>;
  /** The list in the server's order; null before it was read. */
  listed: string[] | null;
  next: string | null;
  /** Problem code of the last failed call, by sale, and "" for the list. */
  problems: Record<string, string>;
  /** Entry secrets, pushed with the opening. */
  entries: Record<string, string>;
  standby: Record<string, StandbyEvent>;
  checks: Record<string, Check>;
}

/** Look-ups of a sale whose time has come while its state stayed the same. */
export interface Check {
  count: number;
  at_ms: number;
  jitter: number;
}

const initialState: SalesState = {
  by_id: {},
  listed: null,
  next: null,
  problems: {},
  entries: {},
  standby: {},
  checks: {},
};

interface Moment {
  at_ms: number;
  jitter: number;
}

function withMoment<T>(payload: T): { payload: T; meta: Moment } {
  return { payload, meta: { at_ms: Date.now(), jitter: Math.random() } };
}

const slice = createSlice({
  name: "sales",
  initialState,
  reducers: {
    listRead(state, { payload }: PayloadAction<{ page: Page<Sale>; first: boolean }>) {
      const ids = payload.page.items.map((sale) => sale.id);
      const before = payload.first ? [] : (state.listed ?? []);
      state.listed = [...before.filter((id) => !ids.includes(id)), ...ids];
      state.next = payload.page.next;
      delete state.problems[""];
      for (const sale of payload.page.items) keepSale(state, sale);
    },
    saleRead(state, { payload }: PayloadAction<Sale>) {
      delete state.problems[payload.id];
      keepSale(state, payload);
    },
    readFailed(state, { payload }: PayloadAction<{ sale: string; code: string }>) {
      state.problems[payload.sale] = payload.code;
    },
    /** The state as the socket tells it: at each change, and on `watch`. */
    saleChanged: {
      prepare: withMoment<SaleEvent>,
      reducer(state, { payload }: PayloadAction<SaleEvent, string, Moment>) {
        if (payload.entry !== undefined) state.entries[payload.sale] = payload.entry;
        const sale = state.by_id[payload.sale];
        if (sale === undefined) return;
        if (sale.state !== payload.state) delete state.checks[payload.sale];
        sale.state = payload.state;
        if (payload.starts_at !== undefined) sale.starts_at = payload.starts_at;
        if (payload.ends_at !== undefined) sale.ends_at = payload.ends_at;
      },
    },
    saleChecked: {
      prepare: withMoment<string>,
      reducer(state, { payload, meta }: PayloadAction<string, string, Moment>) {
        const count = (state.checks[payload]?.count ?? 0) + 1;
        state.checks[payload] = { count, ...meta };
      },
    },
    standbyTicked(state, { payload }: PayloadAction<StandbyEvent>) {
      const held = state.standby[payload.sale];
      // A tick that was overtaken would move people back in line.
      if (held !== undefined && payload.serving_seq < held.serving_seq) return;
      state.standby[payload.sale] = payload;
    },
  },
  extraReducers: (builder) => {
    // Titles and questions are in the old language.
    builder.addCase(localeChosen, (state) => {
      state.listed = null;
    });
  },
  selectors: {
    selectSale: (state, id: string): Sale | null => state.by_id[id] ?? null,
    selectSales: (state) => state.by_id,
    selectListed: (state) => state.listed,
    selectNextPage: (state) => state.next,
    selectProblem: (state, id: string): string | null => state.problems[id] ?? null,
    selectEntry: (state, id: string): string | null => state.entries[id] ?? null,
    selectStandby: (state, id: string): StandbyEvent | null => state.standby[id] ?? null,
    selectChecks: (state) => state.checks,
  },
});

export const { listRead, saleRead, readFailed, saleChanged, saleChecked, standbyTicked } =
  slice.actions;
export const {
  selectSale,
  selectSales,
  selectListed,
  selectNextPage,
  selectProblem,
  selectEntry,
  selectStandby,
  selectChecks,
} = slice.selectors;
export const salesReducer = slice.reducer;

/** What a read page says may be seconds old; what was pushed is kept if newer. */
function keepSale(state: SalesState, sale: Sale) {
  const held = state.by_id[sale.id];
  const same_times =
    held !== undefined &&
    held.starts_at === sale.starts_at &&
    held.ends_at === sale.ends_at;
  const stale = same_times && rank(held.state) > rank(sale.state);
  state.by_id[sale.id] = stale ? { ...sale, state: held.state } : sale;
}

/** Only towards the end is there no way back; between the others there is. */
function rank(state: SaleState): number {
  if (state === "scheduled") return 0;
  return state === "ended" ? 2 : 1;
}
