// The claims of the person signed in, one view per sale, and what changes
// them: events, look-ups and the buy call's answers. The rules are in `rule.ts`;
// the calls are in `claim-actions.ts`.
import { createSlice, type PayloadAction } from "@reduxjs/toolkit";
import type { Claim } from "../../api/types";
import { saleChanged } from "../sales/sales-slice";
import { sessionEnded, signedIn, signedOut } from "../session/session-slice";
import {
  type ClaimView,
  EMPTY_VIEW,
  isBareRejection,
  looksUpOnSoldOut,
  mergeClaim,
  retryMs,
  spreadMs,
  tells,
  UNTOLD_MS,
} from "./rule";

export interface ClaimState {
  by_sale: Record<string, ClaimView>;
  /** Sales whose claim changed by push or look-up, newest last, until dismissed. */
  news: string[];
}

const initialState: ClaimState = { by_sale: {}, news: [] };

/** A buy request that was accepted before the page was loaded anew. */
export interface KeptRequest {
  sale: string;
  at_ms: number;
  answer: string;
  asks_anew: boolean;
}

/** What every action here carries besides its payload. */
interface Moment {
  at_ms: number;
  jitter: number;
}

function withMoment<T>(payload: T): { payload: T; meta: Moment } {
  return { payload, meta: { at_ms: Date.now(), jitter: Math.random() } };
}

type Timed<T> = PayloadAction<T, string, Moment>;

const slice = createSlice({
  name: "claim",
  initialState,
  reducers: {
    askSent: {
      prepare: withMoment<{ sale: string; answer: string }>,
      reducer(state, { payload, meta }: Timed<{ sale: string; answer: string }>) {
        const view = viewOf(state, payload.sale, meta);
        view.answer = payload.answer;
        view.asks_anew ||= view.claim !== null && isBareRejection(view.claim);
        // While it is sent again by itself, the page goes on showing the wait,
        // and the next repetition counts from this one.
        if (view.request?.phase === "accepted") view.request.at_ms = meta.at_ms;
        else view.request = { phase: "sending" };
      },
    },
    askAccepted: {
      prepare: withMoment<{ sale: string }>,
      reducer(state, { payload, meta }: Timed<{ sale: string }>) {
        const view = viewOf(state, payload.sale, meta);
        // The outcome may overtake the 202 that announces it.
        if (view.claim !== null && view.claim.rev > 0 && view.claim.status !== "none") {
          view.request = null;
          view.look_up_due_ms = meta.at_ms + UNTOLD_MS;
          return;
        }
        view.claim = null;
        acceptAt(view, meta.at_ms);
      },
    },
    /** 200 with the status of a claim that the server knows: look it up. */
    askAnswered: {
      prepare: withMoment<{ sale: string }>,
      reducer(state, { payload, meta }: Timed<{ sale: string }>) {
        const view = viewOf(state, payload.sale, meta);
        acceptAt(view, meta.at_ms);
        view.look_up_due_ms = meta.at_ms;
      },
    },
    askFoundSoldOut: {
      prepare: withMoment<{ sale: string }>,
      reducer(state, { payload, meta }: Timed<{ sale: string }>) {
        const view = viewOf(state, payload.sale, meta);
        view.busy_count = 0;
        // A node may call the sale full before it has heard of one's own claim.
        if (looksUpOnSoldOut(view)) view.look_up_due_ms = meta.at_ms;
        if (view.request?.phase !== "accepted") view.request = { phase: "sold_out" };
      },
    },
    askDelayed: {
      prepare: withMoment<{
        sale: string;
        reason: "busy" | "offline";
        retry_after_ms: number | null;
      }>,
      reducer(
        state,
        {
          payload,
          meta,
        }: Timed<{
          sale: string;
          reason: "busy" | "offline";
          retry_after_ms: number | null;
        }>,
      ) {
        const view = viewOf(state, payload.sale, meta);
        view.busy_count += 1;
        const wait_ms = retryMs(payload.retry_after_ms, view.busy_count, meta.jitter);
        view.request = {
          phase: "waiting",
          reason: payload.reason,
          retry_at_ms: meta.at_ms + wait_ms,
        };
      },
    },
    askRefused: {
      prepare: withMoment<{ sale: string; code: string }>,
      reducer(state, { payload, meta }: Timed<{ sale: string; code: string }>) {
        const view = viewOf(state, payload.sale, meta);
        // An earlier "busy" or 202 may have been queued all the same.
        if (view.busy_count > 0 || view.request?.phase === "accepted")
          view.look_up_due_ms = meta.at_ms;
        view.busy_count = 0;
        if (view.request?.phase !== "accepted")
          view.request = { phase: "refused", code: payload.code };
      },
    },
    askGivenUp(state, { payload }: PayloadAction<string>) {
      const view = state.by_sale[payload];
      if (view?.request?.phase === "waiting") view.request = null;
    },
    requestsRestored: {
      prepare: withMoment<KeptRequest[]>,
      reducer(state, { payload, meta }: Timed<KeptRequest[]>) {
        for (const kept of payload) {
          const view = viewOf(state, kept.sale, meta);
          view.answer = kept.answer;
          view.asks_anew = kept.asks_anew;
          view.request = { phase: "accepted", at_ms: kept.at_ms, read: null };
        }
      },
    },
    /** A page shows the sale: whoever is not told soon by the socket looks up. */
    claimWanted: {
      prepare: withMoment<string>,
      reducer(state, { payload, meta }: Timed<string>) {
        const view = viewOf(state, payload, meta);
        if (view.claim === null)
          view.look_up_due_ms ??= meta.at_ms + UNTOLD_MS + spreadMs(meta.jitter);
      },
    },
    /** Something was set going whose end is pushed; look up if it is not. */
    endAwaited: {
      prepare: withMoment<string>,
      reducer(state, { payload, meta }: Timed<string>) {
        const view = viewOf(state, payload, meta);
        view.look_up_due_ms = meta.at_ms + UNTOLD_MS;
      },
    },
    lookUpBegun: {
      prepare: withMoment<string>,
      reducer(state, { payload, meta }: Timed<string>) {
        const view = viewOf(state, payload, meta);
        view.look_ups += 1;
        view.looked_up_at_ms = meta.at_ms;
        view.look_up_due_ms = null;
      },
    },
    /** A claim as an event or a look-up reports it, in any order. */
    claimReported: {
      prepare: withMoment<Claim>,
      reducer(state, { payload, meta }: Timed<Claim>) {
        const view = viewOf(state, payload.sale, meta);
        const before = view.claim;
        view.claim = mergeClaim(before, payload);
        if (before === null) view.look_up_due_ms = null;
        const changed =
          before?.rev !== view.claim.rev || before.status !== view.claim.status;
        if (changed) {
          view.look_ups = 0;
          view.changed_at_ms = meta.at_ms;
        }
        if (tells(payload, view.asks_anew)) {
          view.request = null;
          view.busy_count = 0;
          if (changed && before !== null && before.rev > 0) addNews(state, payload.sale);
        } else if (payload.rev === 0 && view.claim.rev === 0) {
          readUndecided(view, payload, meta.at_ms);
        }
      },
    },
    newsRead(state, { payload }: PayloadAction<string>) {
      state.news = state.news.filter((sale) => sale !== payload);
    },
  },
  extraReducers: (builder) => {
    builder
      .addCase(saleChanged, (state, { payload, meta }) => {
        const view = state.by_sale[payload.sale];
        if (view === undefined) return;
        if (payload.state === "sold_out" && looksUpOnSoldOut(view))
          view.look_up_due_ms = meta.at_ms + spreadMs(meta.jitter);
        // Units have come back: what was refused may be asked anew.
        if (payload.state === "open" && view.request?.phase === "sold_out")
          view.request = null;
      })
      .addCase(signedIn, () => initialState)
      .addCase(signedOut, () => initialState)
      .addCase(sessionEnded, () => initialState);
  },
  selectors: {
    selectClaimView: (state, sale: string): ClaimView =>
      state.by_sale[sale] ?? EMPTY_VIEW,
    selectClaimViews: (state) => state.by_sale,
    selectNews: (state) => state.news,
  },
});

export const {
  askSent,
  askAccepted,
  askAnswered,
  askFoundSoldOut,
  askDelayed,
  askRefused,
  askGivenUp,
  requestsRestored,
  claimWanted,
  endAwaited,
  lookUpBegun,
  claimReported,
  newsRead,
} = slice.actions;
export const { selectClaimView, selectClaimViews, selectNews } = slice.selectors;
export const claimReducer = slice.reducer;

function viewOf(state: ClaimState, sale: string, meta: Moment): ClaimView {
  const view = state.by_sale[sale] ?? { ...EMPTY_VIEW };
  state.by_sale[sale] = view;
  view.jitter = meta.jitter;
  return view;
}

function acceptAt(view: ClaimView, at_ms: number) {
  view.request = { phase: "accepted", at_ms, read: null };
  view.busy_count = 0;
  view.look_ups = 0;
}

/** Someone waits, and the report says no more than that nothing is decided. */
function readUndecided(view: ClaimView, report: Claim, at_ms: number) {
  if (view.request === null && report.status === "queued") {
    // Accepted on another device, or before the page was loaded.
    view.request = { phase: "accepted", at_ms, read: null };
    return;
  }
  if (view.request?.phase !== "accepted") return;
  // Until then `none` may only mean that the request has not been read yet.
  if (at_ms < view.request.at_ms + UNTOLD_MS) return;
  view.request.read = report.status === "queued" ? "queued" : "none";
}

function addNews(state: ClaimState, sale: string) {
  state.news = [...state.news.filter((other) => other !== sale), sale];
}

/** The requests a page that is loaded anew must go on waiting for. */
export function keptRequests(views: Record<string, ClaimView>): KeptRequest[] {
  return Object.entries(views).flatMap(([sale, { request, answer, asks_anew }]) =>
    request?.phase === "accepted"
      ? [{ sale, at_ms: request.at_ms, answer, asks_anew }]
      : [],
  );
}
