import { describe, expect, it } from "vitest";
import { keepBetter, PUSHED_ERROR_MS, samplePush, sampleRoundTrip } from "./clock";
import { timeLeft } from "./use-server-now";

const iso = (at_ms: number) => new Date(at_ms).toISOString();

describe("the server's clock", () => {
  it("is_measured_with_half_the_round_trip", () => {
    expect(sampleRoundTrip(iso(50_100), 10_000, 10_200)).toEqual({
      offset_ms: 40_000,
      error_ms: 100,
      at_ms: 10_200,
    });
  });

  it("is_only_roughly_known_from_a_push_until_a_round_trip_was_measured", () => {
    expect(samplePush(iso(50_000), 10_000, null)?.error_ms).toBe(PUSHED_ERROR_MS);
    expect(samplePush(iso(50_000), 10_000, 80)).toMatchObject({
      offset_ms: 40_080,
      error_ms: 80,
    });
  });

  it("ignores_a_time_it_cannot_read", () => {
    expect(samplePush("soon", 10_000, null)).toBeNull();
  });

  it("keeps_the_more_exact_sample_until_age_has_worn_it", () => {
    const exact = { offset_ms: 500, error_ms: 10, at_ms: 0 };
    const rough = { offset_ms: 540, error_ms: 100, at_ms: 1_000 };
    expect(keepBetter(exact, rough)).toBe(exact);
    const much_later = { ...rough, at_ms: 3_600_000 };
    expect(keepBetter(exact, much_later)).toBe(much_later);
  });

  it("believes_a_sample_that_contradicts_since_the_devices_clock_was_set", () => {
    const before = { offset_ms: 500, error_ms: 10, at_ms: 0 };
    const after = { offset_ms: 60_500, error_ms: 400, at_ms: 1_000 };
    expect(keepBetter(before, after)).toBe(after);
  });

  it("counts_down_in_whole_seconds_and_reaches_zero_only_when_it_is_time", () => {
    expect(timeLeft(10_000, 9_999).total_s).toBe(1);
    expect(timeLeft(10_000, 10_000).total_s).toBe(0);
    expect(timeLeft(10_000, 12_000).total_s).toBe(0);
    expect(timeLeft(93_784_000, 0)).toMatchObject({
      days: 1,
      hours: 2,
      minutes: 3,
      seconds: 4,
    });
  });
});
