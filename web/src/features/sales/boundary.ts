// When to look a sale up because its opening or its end should have been
// pushed by now. Pure. The page never opens a sale by itself: it only asks.
import type { Sale } from "../../api/types";
import { backOffMs } from "../claim/rule";
import type { Check } from "./sales-slice";

/** How long the push of a change has before it is asked for. */
const GRACE_MS = 1_000;

/**
 * On this device's clock, the time of the next look-up of the sale's state;
 * null once it is over. `offset_ms` is how far the server's clock is ahead.
 */
export function nextCheckMs(
  sale: Sale,
  check: Check | null,
  offset_ms: number,
): number | null {
  if (sale.state === "ended") return null;
  const boundary = sale.state === "scheduled" ? sale.starts_at : sale.ends_at;
  const due_ms = Date.parse(boundary) - offset_ms + GRACE_MS;
  if (Number.isNaN(due_ms)) return null;
  if (check === null || check.at_ms < due_ms) return due_ms;
  return check.at_ms + backOffMs(check.count, check.jitter);
}
