// The server's clock as seen from this device: one sample of the difference,
// and the rule by which a new sample replaces it. Pure; not for showing time
// (see `use-server-now`).

/** How far the server's clock is ahead of this device's, in milliseconds. */
export interface ClockSample {
  offset_ms: number;
  /** The sample is right to within this much: half of its round trip. */
  error_ms: number;
  /** When it was taken, on this device's clock. */
  at_ms: number;
}

/** Assumed of a pushed time, whose journey could not be measured. */
export const PUSHED_ERROR_MS = 1_000;

/** Two ordinary quartz clocks drift apart by less than this many ms each second. */
const DRIFT_MS_PER_SECOND = 0.1;

/**
 * A sample from an answer that said `server_time`: the server is taken to have
 * spoken half-way between sending and receiving. Null if the time is unreadable.
 */
export function sampleRoundTrip(
  server_time: string,
  sent_ms: number,
  received_ms: number,
): ClockSample | null {
  const server_ms = Date.parse(server_time);
  if (Number.isNaN(server_ms)) return null;
  const half_ms = Math.max(0, received_ms - sent_ms) / 2;
  return {
    offset_ms: server_ms + half_ms - received_ms,
    error_ms: half_ms,
    at_ms: received_ms,
  };
}

/**
 * A sample from a pushed time. `half_trip_ms` is what half a round trip took
 * last on the same socket, or null before one was measured.
 */
export function samplePush(
  now: string,
  received_ms: number,
  half_trip_ms: number | null,
): ClockSample | null {
  const server_ms = Date.parse(now);
  if (Number.isNaN(server_ms)) return null;
  return {
    offset_ms: server_ms + (half_trip_ms ?? 0) - received_ms,
    error_ms: half_trip_ms ?? PUSHED_ERROR_MS,
    at_ms: received_ms,
  };
}

/**
 * The sample to keep: the more exact one, where the old one has lost
 * exactness with age. If both cannot be true, this device's clock was set
 * meanwhile, and the new one is kept.
 */
export function keepBetter(old: ClockSample | null, fresh: ClockSample): ClockSample {
  if (old === null) return fresh;
  const age_s = Math.max(0, fresh.at_ms - old.at_ms) / 1000;
  const old_error_ms = old.error_ms + age_s * DRIFT_MS_PER_SECOND;
  const disagree_ms = Math.abs(fresh.offset_ms - old.offset_ms);
  const contradict = disagree_ms > old_error_ms + fresh.error_ms;
  return contradict || fresh.error_ms <= old_error_ms ? fresh : old;
}
