import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ask } from "../features/claim/claim-actions";
import { claimReported, selectClaimView } from "../features/claim/claim-slice";
import { signedIn, signedOut } from "../features/session/session-slice";
import { localeChosen } from "../features/settings/settings-slice";
import { aClaim, fakeServer, START_MS } from "../test/fake-server";
import { keepPersisted, restored } from "./persist";
import { createAppStore } from "./store";

const MEI = { id: "7", email: "mei@example.com", name: "Mei", role: "buyer" };

beforeEach(() => {
  vi.useFakeTimers({ now: START_MS });
});

afterEach(() => {
  vi.useRealTimers();
});

/** The store as it is after the page was loaded, with what storage holds. */
function load() {
  const server = fakeServer();
  server.replies["POST /sales/1/requests"] = [
    { status: 202, body: { status: "queued" } },
  ];
  const store = createAppStore({ ...server, preloaded: restored() });
  keepPersisted(store);
  return store;
}

function loadSignedIn(user = MEI) {
  const store = load();
  store.dispatch(signedIn({ access_token: `token-${user.id}`, expires_in: 60, user }));
  return store;
}

describe("a reload", () => {
  it("keeps_the_session_and_the_language", () => {
    loadSignedIn().dispatch(localeChosen("zh-TW"));
    const { session, settings } = load().getState();
    expect(session.session?.user).toEqual(MEI);
    expect(settings.locale).toBe("zh-TW");
  });

  it("says_that_a_session_has_ended_whose_time_is_over", () => {
    loadSignedIn();
    vi.setSystemTime(START_MS + 61_000);
    expect(load().getState().session).toEqual({ session: null, ended: true });
  });

  it("goes_on_waiting_for_the_outcome_of_a_202_from_when_it_was_given", async () => {
    await loadSignedIn().dispatch(ask("1", "Sony"));
    vi.setSystemTime(START_MS + 4_000);
    const view = selectClaimView(load().getState(), "1");
    expect(view.request).toEqual({ phase: "accepted", at_ms: START_MS, read: null });
    expect(view.answer).toBe("Sony");
    expect(view.asks_anew).toBe(false);
  });

  it("remembers_that_a_rejection_may_be_of_an_earlier_request", async () => {
    const store = loadSignedIn();
    store.dispatch(claimReported(aClaim({ status: "rejected" })));
    await store.dispatch(ask("1", ""));
    expect(selectClaimView(load().getState(), "1").asks_anew).toBe(true);
  });

  it("leaves_no_request_behind_for_the_next_person", async () => {
    const store = loadSignedIn();
    await store.dispatch(ask("1", "Sony"));
    store.dispatch(signedOut());
    loadSignedIn({ ...MEI, id: "8" });
    expect(selectClaimView(load().getState(), "1").request).toBeNull();
  });

  it("starts_afresh_where_what_was_kept_cannot_be_read", () => {
    localStorage.setItem("miaosha.session", "{broken");
    expect(restored().session).toEqual({ session: null, ended: false });
  });
});
