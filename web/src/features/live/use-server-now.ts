// The server's time, for countdowns: wakes once a second, just as the second
// turns on the server's clock. Not for deciding anything: the state of a sale
// and of a claim are what the server says they are.
import { useEffect, useState } from "react";
import { useAppSelector } from "../../app/hooks";
import { selectOffsetMs } from "./live-slice";

/** Milliseconds since 1970 on the server's clock. */
export function useServerNow(): number {
  const offset_ms = useAppSelector(selectOffsetMs);
  const [now_ms, setNow] = useState(() => Date.now() + offset_ms);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    function tick() {
      const at_ms = Date.now() + offset_ms;
      setNow(at_ms);
      // A timer may fire a little early: aim past the turn of the second.
      timer = setTimeout(tick, 1_005 - (((at_ms % 1_000) + 1_000) % 1_000));
    }
    tick();
    return () => clearTimeout(timer);
  }, [offset_ms]);

  return now_ms;
}

export interface TimeLeft {
  days: number;
  hours: number;
  minutes: number;
  seconds: number;
  total_s: number;
}

/** Whole seconds left, rounded up, so that zero means that it is time. */
export function timeLeft(until_ms: number, now_ms: number): TimeLeft {
  const total_s = Math.max(0, Math.ceil((until_ms - now_ms) / 1_000));
  return {
    days: Math.floor(total_s / 86_400),
    hours: Math.floor(total_s / 3_600) % 24,
    minutes: Math.floor(total_s / 60) % 60,
    seconds: total_s % 60,
    total_s,
  };
}

/** `12:05`, or `03:12:05` from an hour on; days are left to words. */
export function clockText({ hours, minutes, seconds, days }: TimeLeft): string {
  const parts = hours > 0 || days > 0 ? [hours, minutes, seconds] : [minutes, seconds];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}
