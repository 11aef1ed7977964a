// What outlives a reload: the session and the settings in localStorage, the
// requests that wait for their outcome in sessionStorage. Storage may be
// forbidden or full; the pages then work without memory.

import type { KeptRequest } from "../features/claim/claim-slice";
import { keptRequests, requestsRestored } from "../features/claim/claim-slice";
import type { Session } from "../features/session/session-slice";
import { sessionEnded } from "../features/session/session-slice";
import type { SettingsState } from "../features/settings/settings-slice";
import { preferredLocale } from "../i18n/locale";
import type { AppStore, RootState } from "./store";

const SESSION = "miaosha.session";
const SETTINGS = "miaosha.settings";
const REQUESTS = "miaosha.requests";
/** After this long nobody waits for an outcome any more. */
const REQUEST_KEPT_MS = 30 * 60_000;

/** The state to start with, from what was kept. */
export function restored(): Partial<RootState> {
  const settings = read<Partial<SettingsState>>(localStorage, SETTINGS);
  const session = read<Session>(localStorage, SESSION);
  const valid = session !== null && session.expires_at_ms > Date.now();
  return {
    settings: {
      locale: settings?.locale ?? preferredLocale(navigator.languages),
      theme: settings?.theme ?? "system",
    },
    session: { session: valid ? session : null, ended: session !== null && !valid },
  };
}

/** Keeps the store's memory up to date, and follows other tabs' sign-outs. */
export function keepPersisted(store: AppStore): void {
  const user = store.getState().session.session?.user.id;
  const kept = read<{ user: string; requests: KeptRequest[] }>(sessionStorage, REQUESTS);
  const oldest_ms = Date.now() - REQUEST_KEPT_MS;
  if (kept !== null && kept.user === user)
    store.dispatch(requestsRestored(kept.requests.filter((r) => r.at_ms > oldest_ms)));

  let before = store.getState();
  store.subscribe(() => {
    const now = store.getState();
    if (now.session !== before.session) write(localStorage, SESSION, now.session.session);
    if (now.settings !== before.settings) write(localStorage, SETTINGS, now.settings);
    if (now.claim.by_sale !== before.claim.by_sale) {
      const requests = keptRequests(now.claim.by_sale);
      const owner = now.session.session?.user.id;
      const worth_keeping = owner !== undefined && requests.length > 0;
      write(sessionStorage, REQUESTS, worth_keeping ? { user: owner, requests } : null);
    }
    before = now;
  });

  window.addEventListener("storage", (event) => {
    const token = store.getState().session.session?.token;
    if (event.key === SESSION && event.newValue === null && token !== undefined)
      store.dispatch(sessionEnded(token));
  });
}

function read<T>(storage: Storage, key: string): T | null {
  try {
    return JSON.parse(storage.getItem(key) ?? "null") as T | null;
  } catch {
    return null;
  }
}

function write(storage: Storage, key: string, value: unknown): void {
  try {
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, JSON.stringify(value));
  } catch {
    // Without storage the next visit starts afresh.
  }
}
