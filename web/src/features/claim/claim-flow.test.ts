// The protocol's client side as a whole: a store, its timers and a server that
// does as told. Time is faked; nothing here waits.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { keepSchedule } from "../../app/schedule";
import { type AppStore, createAppStore } from "../../app/store";
import {
  aClaim,
  aSale,
  type FakeServer,
  fakeServer,
  SIGNED_IN,
  START_MS,
} from "../../test/fake-server";
import { openSale } from "../sales/sales-actions";
import { saleChanged } from "../sales/sales-slice";
import { sessionEnded } from "../session/session-slice";
import { ask } from "./claim-actions";
import { claimReported, claimWanted, selectClaimView } from "./claim-slice";
import { outcomeOf } from "./rule";

const ASK = "POST /sales/1/requests";
const LOOK_UP = "GET /sales/1/claim";
const QUEUED = { status: 202, body: { status: "queued" } };

let server: FakeServer;
let store: AppStore;
let stop: () => void;

beforeEach(async () => {
  vi.useFakeTimers({ now: START_MS });
  vi.spyOn(Math, "random").mockReturnValue(0);
  server = fakeServer();
  server.replies["GET /sales/1"] = [{ status: 200, body: aSale() }];
  server.replies[ASK] = [QUEUED];
  server.replies[LOOK_UP] = [{ status: 200, body: aClaim() }];
  store = createAppStore({ ...server, preloaded: SIGNED_IN });
  stop = keepSchedule(store);
  await store.dispatch(openSale("1"));
});

afterEach(() => {
  stop();
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const lookUps = () => server.emitted.filter(({ event }) => event === "lookup").length;
function outcome() {
  const state = store.getState();
  return outcomeOf(selectClaimView(state, "1"), state.sales.by_id["1"]?.state ?? null);
}

describe("after a 202", () => {
  it("a_pushed_outcome_ends_the_wait_and_nothing_is_looked_up", async () => {
    server.connect();
    await store.dispatch(ask("1", ""));
    expect(outcome()).toBe("queued");
    server.push("claim", aClaim({ status: "rejected" }));
    expect(outcome()).toBe("rejected");
    const before = lookUps();
    await pass(60_000);
    expect(lookUps()).toBe(before);
    expect(server.count(ASK)).toBe(1);
  });

  it("a_rejection_of_an_earlier_request_does_not_end_the_wait_of_a_later_one", async () => {
    store.dispatch(claimReported(aClaim({ status: "rejected" })));
    server.replies[LOOK_UP] = [
      { status: 200, body: aClaim({ status: "rejected" }) },
      { status: 200, body: aClaim({ status: "reserved", rev: 1, seq: 2 }) },
    ];
    await store.dispatch(ask("1", ""));
    await pass(5_000);
    expect(server.count(LOOK_UP)).toBe(1);
    expect(outcome()).toBe("queued");
    store.dispatch(saleChanged({ sale: "1", state: "sold_out" }));
    expect(outcome()).toBe("not_won");
    await pass(5_000);
    expect(outcome()).toBe("reserved");
  });

  it("who_was_rejected_and_asks_anew_while_units_are_free_asks_again_after_10_s", async () => {
    store.dispatch(claimReported(aClaim({ status: "rejected" })));
    server.replies[LOOK_UP] = [{ status: 200, body: aClaim({ status: "rejected" }) }];
    await store.dispatch(ask("1", ""));
    await pass(9_999);
    expect(server.count(ASK)).toBe(1);
    await pass(1);
    expect(server.count(ASK)).toBe(2);
  });

  it("an_outcome_that_overtakes_the_202_is_kept", async () => {
    const sent = store.dispatch(ask("1", ""));
    store.dispatch(claimReported(aClaim({ status: "standby", rev: 1, seq: 5 })));
    await sent;
    expect(outcome()).toBe("standby");
  });

  it("an_untold_client_looks_up_after_5_s_over_http_when_not_connected", async () => {
    await store.dispatch(ask("1", ""));
    await pass(4_999);
    expect(server.count(LOOK_UP)).toBe(0);
    await pass(1);
    expect(server.count(LOOK_UP)).toBe(1);
  });

  it("an_untold_client_looks_up_by_the_socket_when_connected", async () => {
    server.acks.lookup = () => aClaim({ status: "reserved", rev: 1, seq: 2 });
    server.acks.watch = () => ({ sale: "1", state: "open", claim: aClaim() });
    server.connect();
    await store.dispatch(ask("1", ""));
    await pass(5_000);
    expect(lookUps()).toBe(1);
    expect(server.count(LOOK_UP)).toBe(0);
    expect(outcome()).toBe("reserved");
  });

  it("none_while_the_sale_is_open_makes_it_ask_again_10_s_after_its_202", async () => {
    await store.dispatch(ask("1", "Sony"));
    await pass(9_999);
    expect(server.count(ASK)).toBe(1);
    await pass(1);
    expect(server.count(ASK)).toBe(2);
    expect(server.calls.at(-1)?.body).toEqual({ answer: "Sony" });
    await pass(9_999);
    expect(server.count(ASK)).toBe(2);
  });

  it("none_once_the_sale_is_sold_out_is_shown_as_not_won", async () => {
    server.connect();
    await store.dispatch(ask("1", ""));
    server.push("sale", { sale: "1", state: "sold_out" });
    expect(outcome()).toBe("queued");
    await pass(6_000);
    expect(outcome()).toBe("not_won");
    await pass(60_000);
    expect(server.count(ASK)).toBe(1);
  });

  it("a_late_row_still_wins_over_not_won", async () => {
    server.connect();
    await store.dispatch(ask("1", ""));
    server.push("sale", { sale: "1", state: "sold_out" });
    await pass(6_000);
    server.push("claim", aClaim({ status: "reserved", rev: 1, seq: 3 }));
    expect(outcome()).toBe("reserved");
  });

  it("sold_out_is_a_reason_to_look_up", async () => {
    server.connect();
    await store.dispatch(ask("1", ""));
    const before = lookUps();
    server.push("sale", { sale: "1", state: "sold_out" });
    await pass(0);
    expect(lookUps()).toBe(before + 1);
  });
});

describe("a busy server", () => {
  it("is_asked_again_by_itself_and_not_before_retry_after", async () => {
    const busy = { status: 503, body: { code: "overloaded" }, retry_after_s: 3 };
    server.replies[ASK] = [busy, busy, QUEUED];
    await store.dispatch(ask("1", "Sony"));
    expect(outcome()).toBe("waiting");
    await pass(2_999);
    expect(server.count(ASK)).toBe(1);
    await pass(1);
    expect(server.count(ASK)).toBe(2);
    await pass(3_000);
    expect(outcome()).toBe("queued");
    expect(server.calls.at(-1)?.body).toEqual({ answer: "Sony" });
  });

  it("that_cannot_be_reached_is_tried_again_too", async () => {
    server.replies[ASK] = [null, QUEUED];
    await store.dispatch(ask("1", ""));
    expect(outcome()).toBe("waiting");
    await pass(1_000);
    expect(outcome()).toBe("queued");
  });
});

describe("answers of the buy call", () => {
  it("sold_out_without_a_claim_is_final_until_the_sale_opens_again", async () => {
    server.replies[ASK] = [{ status: 200, body: { status: "sold_out" } }];
    server.connect();
    await store.dispatch(ask("1", ""));
    expect(outcome()).toBe("sold_out");
    server.push("sale", { sale: "1", state: "open" });
    expect(outcome()).toBe("idle");
  });

  it("sold_out_to_someone_with_a_202_is_looked_up_and_asked_no_faster", async () => {
    await store.dispatch(ask("1", ""));
    server.replies[ASK] = [{ status: 200, body: { status: "sold_out" } }];
    const full = aSale({ state: "sold_out" });
    server.replies["GET /sales/1"] = [{ status: 200, body: full }];
    await pass(9_999);
    const before = server.count(LOOK_UP);
    await pass(2);
    expect(server.count(ASK)).toBe(2);
    expect(server.count(LOOK_UP)).toBe(before + 1);
    expect(outcome()).toBe("not_won");
    await pass(60_000);
    expect(server.count(ASK)).toBe(2);
  });

  it("the_status_of_a_claim_is_looked_up_at_once", async () => {
    server.replies[ASK] = [{ status: 200, body: { status: "standby" } }];
    const standby = aClaim({ status: "standby", rev: 1, seq: 40, position: 3 });
    server.replies[LOOK_UP] = [{ status: 200, body: standby }];
    await store.dispatch(ask("1", ""));
    await pass(0);
    expect(outcome()).toBe("standby");
  });

  it("a_wrong_answer_leaves_the_form_open", async () => {
    server.replies[ASK] = [{ status: 422, body: { code: "wrong_answer" } }];
    await store.dispatch(ask("1", "Sega"));
    expect(outcome()).toBe("idle");
    expect(selectClaimView(store.getState(), "1").request).toEqual({
      phase: "refused",
      code: "wrong_answer",
    });
  });

  it("the_entry_secret_of_the_opening_is_passed_along", async () => {
    server.connect();
    server.push("sale", { sale: "1", state: "open", entry: "s3cret" });
    await store.dispatch(ask("1", "Sony"));
    expect(server.calls.at(-1)?.body).toEqual({ answer: "Sony", entry: "s3cret" });
  });

  it("401_ends_the_session_and_the_socket_goes_on_as_a_stranger", async () => {
    server.replies[ASK] = [{ status: 401, body: { code: "unauthenticated" } }];
    await store.dispatch(ask("1", ""));
    expect(store.getState().session).toEqual({ session: null, ended: true });
    expect(server.connections).toEqual(["token-1", null]);
  });
});

describe("the connection", () => {
  it("when_it_stands_again_watches_and_looks_up_again", async () => {
    server.acks.watch = () => ({ sale: "1", state: "open" });
    server.acks.lookup = () => aClaim();
    server.connect();
    await pass(0);
    await store.dispatch(ask("1", ""));
    server.disconnect();
    server.acks.watch = () => ({ sale: "1", state: "sold_out" });
    server.acks.lookup = () => aClaim({ status: "standby", rev: 1, seq: 9 });
    server.connect();
    await pass(0);
    expect(store.getState().sales.by_id["1"]?.state).toBe("sold_out");
    expect(outcome()).toBe("standby");
  });

  it("that_never_stands_leaves_the_claim_to_a_look_up_over_http", async () => {
    const standby = aClaim({ status: "standby", rev: 1, seq: 9 });
    server.replies[LOOK_UP] = [{ status: 200, body: standby }];
    store.dispatch(claimWanted("1"));
    await pass(5_000);
    expect(outcome()).toBe("standby");
  });

  it("that_answers_a_look_up_with_a_problem_is_not_asked_by_another_way", async () => {
    server.acks.watch = () => ({ sale: "1", state: "open", claim: aClaim() });
    server.acks.lookup = () => ({ code: "overloaded" });
    server.connect();
    await store.dispatch(ask("1", ""));
    await pass(5_000);
    expect(lookUps()).toBe(1);
    expect(server.count(LOOK_UP)).toBe(0);
  });

  it("refused_as_unauthenticated_ends_the_session", () => {
    server.refuse("unauthenticated");
    expect(store.getState().session).toEqual({ session: null, ended: true });
  });

  it("a_report_for_someone_who_has_left_is_dropped", async () => {
    const sent = store.dispatch(ask("1", ""));
    store.dispatch(sessionEnded("token-1"));
    await sent;
    expect(store.getState().claim.by_sale).toEqual({});
  });
});

describe("a reservation", () => {
  it("whose_time_is_over_is_looked_up_where_the_push_is_missing", async () => {
    const deadline = new Date(START_MS + 30_000).toISOString();
    store.dispatch(claimReported(aClaim({ status: "reserved", rev: 1, deadline })));
    server.replies[LOOK_UP] = [
      { status: 200, body: aClaim({ status: "expired", rev: 2 }) },
    ];
    await pass(30_999);
    expect(outcome()).toBe("reserved");
    await pass(1);
    expect(outcome()).toBe("expired");
  });

  it("that_comes_from_standby_is_news", () => {
    store.dispatch(claimReported(aClaim({ status: "standby", rev: 1, seq: 9 })));
    expect(store.getState().claim.news).toEqual([]);
    store.dispatch(claimReported(aClaim({ status: "reserved", rev: 2, seq: 9 })));
    expect(store.getState().claim.news).toEqual(["1"]);
  });
});

describe("the opening", () => {
  it("is_never_assumed_and_is_asked_for_a_second_after_its_time", async () => {
    const starts_at = new Date(START_MS + 10_000).toISOString();
    const scheduled = aSale({ state: "scheduled", starts_at });
    server.replies["GET /sales/1"] = [{ status: 200, body: scheduled }];
    await store.dispatch(openSale("1"));
    server.replies["GET /sales/1"] = [
      { status: 200, body: { ...scheduled, state: "open" } },
    ];
    const before = server.count("GET /sales/1");
    await pass(10_999);
    expect(store.getState().sales.by_id["1"]?.state).toBe("scheduled");
    expect(server.count("GET /sales/1")).toBe(before);
    await pass(1);
    expect(store.getState().sales.by_id["1"]?.state).toBe("open");
  });
});
