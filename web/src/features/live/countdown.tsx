// The large countdown: drawn figures for the eye, and for the ear a sentence
// at a few chosen moments only.
import { useState } from "react";
import { useText } from "../../i18n";
import { Numerals, SecondsRule } from "../../ui/numerals";
import { clockText, type TimeLeft, timeLeft, useServerNow } from "./use-server-now";

/** Seconds before the end at which the time is spoken. */
const SPOKEN_AT_S = [3_600, 600, 300, 60, 30, 10];

interface CountdownProps {
  /** RFC 3339, on the server's clock. */
  until: string;
  label: string;
  size: "stage" | "small";
}

/** Stays at zero once it is time; what happens then is the server's to say. */
export function Countdown({ until, label, size }: CountdownProps) {
  const t = useText();
  const left = timeLeft(Date.parse(until), useServerNow());
  const spoken_for = useSpokenMoment(left);
  const figures = clockText(left);
  const clock = t.time.spoken(left.hours, left.minutes, left.seconds);
  const spoken = left.days > 0 ? `${t.time.days(left.days)} ${clock}` : clock;
  const small = size === "small";
  return (
    <div>
      <div role="timer" aria-label={label} aria-live="off" data-seconds={left.total_s}>
        {left.days > 0 && (
          <p className={small ? "font-bold" : "mb-2 font-black text-4xl tracking-tight"}>
            {t.time.days(left.days)}
          </p>
        )}
        <Numerals
          value={figures}
          className={
            small ? "h-8 w-auto" : figures.length > 5 ? "w-full" : "w-full max-w-136"
          }
        />
        {!small && (
          <div className="mt-4">
            <SecondsRule seconds={left.seconds} />
          </div>
        )}
        <span className="sr-only">{spoken}</span>
      </div>
      <p className="sr-only" aria-live="polite">
        {spoken_for === null ? "" : t.time.left(spoken_for)}
      </p>
    </div>
  );
}

/** The sentence of the last chosen moment that was passed while looking. */
function useSpokenMoment(left: TimeLeft): string | null {
  const t = useText();
  const [from_s] = useState(left.total_s);
  const passed = SPOKEN_AT_S.findLast((at_s) => left.total_s <= at_s && at_s < from_s);
  if (passed === undefined) return null;
  const { hours, minutes, seconds } = timeLeft(passed * 1_000, 0);
  return t.time.spoken(hours, minutes, seconds);
}
