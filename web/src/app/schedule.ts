// Runs what the rules say is due: the claim's look-ups and repeated requests,
// and the check of a sale whose time has come. One timer for each, set anew
// whenever the state changes. The rules are in `claim/rule` and `sales/boundary`.
import { askAgain, lookUp } from "../features/claim/claim-actions";
import { selectClaimViews } from "../features/claim/claim-slice";
import { nextStep } from "../features/claim/rule";
import { selectOffsetMs } from "../features/live/live-slice";
import { nextCheckMs } from "../features/sales/boundary";
import { watchSale } from "../features/sales/sales-actions";
import { selectChecks, selectSales } from "../features/sales/sales-slice";
import { selectToken } from "../features/session/session-slice";
import type { AppStore, AppThunk, RootState } from "./store";

/** setTimeout fires at once beyond 2^31 ms. */
const TIMER_MAX_MS = 2 ** 31 - 1;

interface Due {
  at_ms: number;
  what: string;
  run: AppThunk<unknown>;
}

/** Keeps the timers of this store until the returned function is called. */
export function keepSchedule(store: AppStore): () => void {
  const timers = new Map<string, { due: Due; timer: ReturnType<typeof setTimeout> }>();

  function arrange() {
    const wanted = dueBy(store.getState());
    for (const [key, { due, timer }] of timers) {
      const next = wanted.get(key);
      if (next?.at_ms === due.at_ms && next.what === due.what) continue;
      clearTimeout(timer);
      timers.delete(key);
    }
    for (const [key, due] of wanted) {
      if (timers.has(key)) continue;
      const wait_ms = Math.min(TIMER_MAX_MS, Math.max(0, due.at_ms - Date.now()));
      const timer = setTimeout(() => {
        timers.delete(key);
        if (Date.now() >= due.at_ms) store.dispatch(due.run);
        else arrange();
      }, wait_ms);
      timers.set(key, { due, timer });
    }
  }

  const unsubscribe = store.subscribe(arrange);
  arrange();
  return () => {
    unsubscribe();
    for (const { timer } of timers.values()) clearTimeout(timer);
  };
}

function dueBy(state: RootState): Map<string, Due> {
  const due = new Map<string, Due>();
  const offset_ms = selectOffsetMs(state);
  const sales = selectSales(state);
  const checks = selectChecks(state);
  for (const [id, sale] of Object.entries(sales)) {
    const at_ms = nextCheckMs(sale, checks[id] ?? null, offset_ms);
    if (at_ms !== null)
      due.set(`sale ${id}`, { at_ms, what: "check", run: watchSale(id) });
  }
  if (selectToken(state) === null) return due;
  for (const [id, view] of Object.entries(selectClaimViews(state))) {
    const step = nextStep(view, sales[id]?.state ?? null, offset_ms);
    if (step === null) continue;
    const run = step.do === "ask" ? askAgain(id) : lookUp(id);
    due.set(`claim ${id}`, { at_ms: step.at_ms, what: step.do, run });
  }
  return due;
}
