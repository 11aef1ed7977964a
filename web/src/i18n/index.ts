// The pages' texts in the reader's language, and how figures and times are
// written in it. The dictionaries are `en.ts` (which fixes the shape) and
// `zh-tw.ts`; the choice of language is in `features/settings`.
import { useMemo } from "react";
import type { Money } from "../api/types";
import { useAppSelector } from "../app/hooks";
import { selectLocale } from "../features/settings/settings-slice";
import { type Dictionary, en } from "./en";
import type { Locale } from "./locale";
import { zh_tw } from "./zh-tw";

export const DICTIONARIES: Record<Locale, Dictionary> = { en, "zh-TW": zh_tw };

export function useText(): Dictionary {
  return DICTIONARIES[useAppSelector(selectLocale)];
}

/** The sentence for a problem code; one that fits any for a code unknown here. */
export function problemText(t: Dictionary, code: string): string {
  const known: Record<string, string> = t.problems;
  return known[code] ?? t.problems.unknown;
}

export interface Formats {
  money: (money: Money) => string;
  /** Day and time in the reader's time zone, to the minute. */
  moment: (iso: string) => string;
  /** Time of day to the second, from milliseconds since 1970. */
  clock: (at_ms: number) => string;
  count: (n: number) => string;
}

export function useFormats(): Formats {
  const locale = useAppSelector(selectLocale);
  return useMemo(() => formatsOf(locale), [locale]);
}

function formatsOf(locale: Locale): Formats {
  const moment = new Intl.DateTimeFormat(locale, {
    month: "short",
    day: "numeric",
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const clock = new Intl.DateTimeFormat(locale, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
  const count = new Intl.NumberFormat(locale);
  return {
    money: ({ amount, currency }) =>
      new Intl.NumberFormat(locale, { style: "currency", currency }).format(
        // Formatted from its digits, so that no amount is rounded on the way.
        amount as `${number}`,
      ),
    moment: (iso) => moment.format(new Date(iso)),
    clock: (at_ms) => clock.format(at_ms),
    count: (n) => count.format(n),
  };
}
