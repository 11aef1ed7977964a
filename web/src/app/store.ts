// Puts the store together: reducers, the HTTP client, the socket and the
// timers, each given what it needs. `main.tsx` calls it once; tests call it
// with a fetch and a socket of their own.
import {
  combineReducers,
  configureStore,
  createListenerMiddleware,
  type ThunkAction,
  type UnknownAction,
} from "@reduxjs/toolkit";
import { type Api, createApi } from "../api/client";
import { checkoutReducer } from "../features/checkout/checkout-slice";
import { claimReducer } from "../features/claim/claim-slice";
import { sampleRoundTrip } from "../features/live/clock";
import { clockSampled, liveReducer } from "../features/live/live-slice";
import { createLive, type Live, type OpenSocket } from "../features/live/socket";
import { ordersReducer } from "../features/orders/orders-slice";
import { salesReducer } from "../features/sales/sales-slice";
import {
  selectToken,
  sessionEnded,
  sessionReducer,
} from "../features/session/session-slice";
import { selectLocale, settingsReducer } from "../features/settings/settings-slice";

const rootReducer = combineReducers({
  session: sessionReducer,
  settings: settingsReducer,
  live: liveReducer,
  sales: salesReducer,
  claim: claimReducer,
  checkout: checkoutReducer,
  orders: ordersReducer,
});

/** What the thunks reach the outside through. */
export interface Services {
  api: Api;
  live: Live;
}

/** What a test replaces. */
export interface Seams {
  fetch: typeof fetch;
  openSocket: OpenSocket;
  preloaded?: Partial<RootState>;
}

export type RootState = ReturnType<typeof rootReducer>;
export type AppThunk<R = void> = ThunkAction<R, RootState, Services, UnknownAction>;
export type AppStore = ReturnType<typeof createAppStore>;
export type AppDispatch = AppStore["dispatch"];

/** A store whose socket connects as whoever is signed in, now and later. */
export function createAppStore({ fetch, openSocket, preloaded }: Seams) {
  const api = createApi({
    fetch,
    token: () => selectToken(store.getState()),
    language: () => selectLocale(store.getState()),
    onUnauthenticated: (token) => store.dispatch(sessionEnded(token)),
    onServerTime: (server_time, { sent_ms, received_ms }) => {
      const sample = sampleRoundTrip(server_time, sent_ms, received_ms);
      if (sample !== null) store.dispatch(clockSampled(sample));
    },
  });
  const live: Live = createLive(openSocket, (action) => store.dispatch(action));
  const services: Services = { api, live };

  const listeners = createListenerMiddleware<RootState>();
  listeners.startListening({
    predicate: (_action, now, before) => selectToken(now) !== selectToken(before),
    effect: (_action, { getState }) => live.connectAs(selectToken(getState())),
  });

  const store = configureStore({
    reducer: rootReducer,
    ...(preloaded === undefined ? {} : { preloadedState: preloaded }),
    middleware: (defaults) =>
      defaults({ thunk: { extraArgument: services } }).prepend(listeners.middleware),
  });
  live.connectAs(selectToken(store.getState()));
  return store;
}
