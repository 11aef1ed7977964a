import { describe, expect, it } from "vitest";
import { aClaim } from "../../test/fake-server";
import {
  backOffMs,
  type ClaimView,
  canAsk,
  EMPTY_VIEW,
  mergeClaim,
  nextStep,
  outcomeOf,
  positionOf,
  retryMs,
} from "./rule";

const view = (over: Partial<ClaimView>): ClaimView => ({ ...EMPTY_VIEW, ...over });
const accepted = (at_ms: number, read: "none" | "queued" | null = null) =>
  ({ phase: "accepted", at_ms, read }) as const;

describe("mergeClaim", () => {
  it("keeps_the_higher_rev_in_any_order", () => {
    const older = aClaim({ status: "reserved", rev: 1 });
    const newer = aClaim({ status: "expired", rev: 2 });
    expect(mergeClaim(older, newer)).toBe(newer);
    expect(mergeClaim(newer, older)).toBe(newer);
  });

  it("refreshes_the_same_rev_without_losing_what_the_report_leaves_out", () => {
    const held = aClaim({ status: "standby", rev: 1, seq: 9, position: 4 });
    const merged = mergeClaim(held, aClaim({ status: "standby", rev: 1, position: 2 }));
    expect(merged).toMatchObject({ seq: 9, position: 2 });
  });

  it("lets_a_rejection_without_a_row_stand_against_a_late_queued_or_none", () => {
    const rejected = aClaim({ status: "rejected" });
    expect(mergeClaim(rejected, aClaim({ status: "queued" }))).toBe(rejected);
    expect(mergeClaim(rejected, aClaim())).toBe(rejected);
    expect(mergeClaim(aClaim({ status: "queued" }), rejected)).toBe(rejected);
  });

  it("lets_a_row_win_over_a_rejection_without_one", () => {
    const row = aClaim({ status: "standby", rev: 1 });
    expect(mergeClaim(aClaim({ status: "rejected" }), row)).toBe(row);
    expect(mergeClaim(row, aClaim({ status: "rejected" }))).toBe(row);
  });
});

describe("outcomeOf", () => {
  it("shows_a_202_that_reads_none_as_not_won_only_once_the_sale_is_full_or_over", () => {
    const untold = view({ request: accepted(0, "none") });
    expect(outcomeOf(untold, "open")).toBe("queued");
    expect(outcomeOf(untold, "paused")).toBe("queued");
    expect(outcomeOf(untold, "sold_out")).toBe("not_won");
    expect(outcomeOf(untold, "ended")).toBe("not_won");
  });

  it("shows_a_claim_rather_than_a_request_that_is_still_on_its_way", () => {
    const claim = aClaim({ status: "reserved", rev: 1 });
    expect(outcomeOf(view({ claim, request: { phase: "sending" } }), "open")).toBe(
      "reserved",
    );
  });

  it("lets_one_ask_again_after_a_rejection_without_a_row_but_not_after_one_with", () => {
    expect(canAsk("rejected", aClaim({ status: "rejected" }))).toBe(true);
    expect(canAsk("rejected", aClaim({ status: "rejected", rev: 3 }))).toBe(false);
    expect(canAsk("expired", aClaim({ status: "expired", rev: 2 }))).toBe(false);
  });
});

describe("nextStep", () => {
  it("looks_up_5_s_after_a_202_and_backs_off_from_there", () => {
    const first = view({ request: accepted(1_000), jitter: 0.5 });
    expect(nextStep(first, "open", 0)).toEqual({ do: "look_up", at_ms: 6_500 });
    const second = { ...first, look_ups: 1, looked_up_at_ms: 6_500 };
    expect(nextStep(second, "open", 0)).toEqual({ do: "look_up", at_ms: 8_500 });
    const third = { ...first, look_ups: 2, looked_up_at_ms: 8_500 };
    expect(nextStep(third, "open", 0)).toEqual({ do: "look_up", at_ms: 12_500 });
  });

  it("asks_again_10_s_after_the_202_where_none_was_read_and_the_sale_is_open", () => {
    const none = view({
      request: accepted(1_000, "none"),
      look_ups: 1,
      looked_up_at_ms: 6_000,
    });
    expect(nextStep(none, "open", 0)).toEqual({ do: "ask", at_ms: 11_000 });
    expect(nextStep(none, "paused", 0)?.do).toBe("look_up");
  });

  it("goes_on_looking_where_queued_was_read", () => {
    const queued = view({
      request: accepted(1_000, "queued"),
      look_ups: 1,
      looked_up_at_ms: 6_000,
    });
    expect(nextStep(queued, "open", 0)?.do).toBe("look_up");
  });

  it("stops_looking_two_minutes_after_a_202_that_was_not_won", () => {
    const not_won = { request: accepted(0, "none"), look_ups: 9, jitter: 0.5 };
    const early = view({ ...not_won, looked_up_at_ms: 60_000 });
    expect(nextStep(early, "sold_out", 0)?.do).toBe("look_up");
    const late = view({ ...not_won, looked_up_at_ms: 110_000 });
    expect(nextStep(late, "sold_out", 0)).toBeNull();
  });

  it("asks_what_became_of_a_deadline_that_passed_on_the_servers_clock", () => {
    const deadline = new Date(100_000).toISOString();
    const claim = aClaim({ status: "reserved", rev: 1, deadline });
    const server_ahead_ms = 4_000;
    expect(nextStep(view({ claim }), "open", server_ahead_ms)).toEqual({
      do: "look_up",
      at_ms: 97_000,
    });
  });

  it("has_nothing_to_do_for_a_final_claim", () => {
    const claim = aClaim({ status: "paid", rev: 3, order: "900" });
    expect(nextStep(view({ claim }), "sold_out", 0)).toBeNull();
  });

  it("looks_up_the_order_of_a_paid_claim_that_was_told_without", () => {
    const claim = aClaim({ status: "paid", rev: 3 });
    const told = view({ claim, changed_at_ms: 1_000, jitter: 0.5 });
    expect(nextStep(told, "sold_out", 0)).toEqual({ do: "look_up", at_ms: 1_000 });
    const failed = { ...told, look_ups: 1, looked_up_at_ms: 1_000 };
    expect(nextStep(failed, "sold_out", 0)).toEqual({ do: "look_up", at_ms: 3_000 });
  });

  it("looks_up_about_once_a_minute_while_standing_by", () => {
    const claim = aClaim({ status: "standby", rev: 1, seq: 7 });
    const told = view({ claim, changed_at_ms: 1_000, jitter: 0.5 });
    expect(nextStep(told, "sold_out", 0)).toEqual({ do: "look_up", at_ms: 61_000 });
    const looked_up = { ...told, look_ups: 5, looked_up_at_ms: 61_000, jitter: 0 };
    expect(nextStep(looked_up, "sold_out", 0)).toEqual({ do: "look_up", at_ms: 91_000 });
  });

  it("takes_the_earlier_of_two_reasons", () => {
    const both = view({ request: accepted(0), look_up_due_ms: 900 });
    expect(nextStep(both, "sold_out", 0)).toEqual({ do: "look_up", at_ms: 900 });
  });
});

describe("backOffMs and retryMs", () => {
  it("never_retries_before_retry_after", () => {
    expect(retryMs(3_000, 1, 0)).toBe(3_000);
    expect(retryMs(3_000, 1, 1)).toBe(4_500);
  });

  it("doubles_up_to_a_bound", () => {
    expect([1, 2, 3, 4, 5, 6].map((count) => backOffMs(count, 0.5))).toEqual([
      2_000, 4_000, 8_000, 16_000, 30_000, 30_000,
    ]);
  });
});

describe("positionOf", () => {
  const claim = aClaim({ status: "standby", rev: 1, seq: 120, position: 12 });

  it("moves_forward_as_the_line_is_served", () => {
    expect(positionOf(claim, null)).toBe(12);
    expect(positionOf(claim, { serving_seq: 100, standing: 40 })).toBe(12);
    expect(positionOf(claim, { serving_seq: 115, standing: 40 })).toBe(5);
    expect(positionOf(claim, { serving_seq: 115, standing: 2 })).toBe(2);
  });

  it("is_never_less_than_1", () => {
    expect(positionOf(claim, { serving_seq: 121, standing: 0 })).toBe(1);
  });

  it("is_unknown_without_a_look_up_or_an_event", () => {
    expect(positionOf(aClaim({ status: "standby", rev: 1, seq: 9 }), null)).toBeNull();
  });
});
