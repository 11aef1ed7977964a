// The stage is the one large surface of a sale; its colour says how things
// stand before a word is read.
import type { SaleState } from "../../api/types";
import type { Outcome } from "../claim/rule";

export const STAGE: Record<SaleState, string> = {
  scheduled: "bg-stage-wait",
  open: "bg-stage-open",
  sold_out: "bg-stage-over",
  paused: "bg-stage-over",
  ended: "bg-stage-over",
};

export const CLAIM_STAGE: Record<Exclude<Outcome, "idle">, string> = {
  sending: "bg-stage-wait",
  waiting: "bg-stage-wait",
  queued: "bg-stage-wait",
  reserved: "bg-stage-held",
  paying: "bg-stage-held",
  paid: "bg-stage-held",
  standby: "bg-stage-line",
  rejected: "bg-stage-over",
  not_won: "bg-stage-over",
  sold_out: "bg-stage-over",
  expired: "bg-stage-over",
  released: "bg-stage-over",
  left: "bg-stage-over",
  refunded: "bg-stage-over",
};
