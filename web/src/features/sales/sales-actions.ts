// Reads sales over HTTP and follows them over the socket.
import type { AppThunk } from "../../app/store";
import {
  listRead,
  readFailed,
  saleChecked,
  saleRead,
  selectNextPage,
} from "./sales-slice";

/** How many sales of a list are followed live. */
const WATCHED_OF_LIST_MAX = 20;

/** Reads the first page of the list, or the page after those known. */
export function readList(first: boolean): AppThunk<Promise<void>> {
  return async (dispatch, getState, { api, live }) => {
    const next = first ? null : selectNextPage(getState());
    const answer = await api.listSales(next);
    if (!answer.ok) {
      dispatch(readFailed({ sale: "", code: answer.problem.code }));
      return;
    }
    dispatch(listRead({ page: answer.body, first }));
    for (const sale of answer.body.items.slice(0, WATCHED_OF_LIST_MAX)) {
      if (sale.state !== "ended") live.watch(sale.id);
    }
  };
}

/** Reads one sale and follows it. */
export function openSale(id: string): AppThunk<Promise<void>> {
  return async (dispatch, _getState, { live }) => {
    await dispatch(readSale(id));
    live.watch(id);
  };
}

export function readSale(id: string): AppThunk<Promise<void>> {
  return async (dispatch, _getState, { api }) => {
    const answer = await api.getSale(id);
    if (answer.ok) dispatch(saleRead(answer.body));
    else dispatch(readFailed({ sale: id, code: answer.problem.code }));
  };
}

/** Asks for the state of a sale whose time has come: by the socket if it stands. */
export function watchSale(id: string): AppThunk {
  return (dispatch, _getState, { live }) => {
    dispatch(saleChecked(id));
    if (live.isConnected()) live.watch(id);
    else void dispatch(readSale(id));
  };
}
