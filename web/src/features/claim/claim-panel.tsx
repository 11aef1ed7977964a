// What became of a person's request, on the stage of the sale page: one large
// figure or word, what it means, and what can be done about it.
import type { Ref } from "react";
import type { Sale } from "../../api/types";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { useText } from "../../i18n";
import { Button, ButtonLink } from "../../ui/button";
import { PaidSeal } from "../../ui/icons";
import { Numerals } from "../../ui/numerals";
import { Countdown } from "../live/countdown";
import { selectOffsetMs } from "../live/live-slice";
import { timeLeft, useServerNow } from "../live/use-server-now";
import { BuyForm } from "../sales/buy-form";
import { selectStandby } from "../sales/sales-slice";
import { askGivenUp } from "./claim-slice";
import { GiveUp } from "./give-up";
import { useOutcomeText } from "./outcome-text";
import { type ClaimView, canAsk, canGiveUp, type Outcome, positionOf } from "./rule";

interface ClaimPanelProps {
  sale: Sale;
  view: ClaimView;
  outcome: Outcome;
  heading: Ref<HTMLHeadingElement>;
}

export function ClaimPanel({ sale, view, outcome, heading }: ClaimPanelProps) {
  const t = useText();
  const { title, hint } = useOutcomeText(outcome, view);
  const asks_again = canAsk(outcome, view.claim) && sale.state === "open";
  const final =
    FINAL.has(outcome) || (outcome === "rejected" && !canAsk(outcome, view.claim));
  return (
    <div key={outcome} className="grid animate-rise gap-4">
      <h2
        ref={heading}
        tabIndex={-1}
        className="font-black text-4xl tracking-tight sm:text-5xl"
      >
        {title}
      </h2>
      <Figure sale={sale} view={view} outcome={outcome} />
      {hint !== "" && <p className="text-white/90">{hint}</p>}
      {asks_again && (
        <>
          {outcome === "rejected" && (
            <p className="text-white/90">{t.outcome.rejected_open}</p>
          )}
          <BuyForm sale={sale} view={view} label={t.outcome.ask_again} />
        </>
      )}
      {final && <p className="text-white/90">{t.outcome.one_claim}</p>}
      <Ways sale={sale} view={view} outcome={outcome} />
    </div>
  );
}

const FINAL: ReadonlySet<Outcome> = new Set(["expired", "released", "left"]);

/** The large thing in the middle, where the outcome has one. */
function Figure({ sale, view, outcome }: Omit<ClaimPanelProps, "heading">) {
  const t = useText();
  switch (outcome) {
    case "sending":
    case "queued":
    case "paying":
      return <Sweep />;
    case "waiting":
      return <RetryTime view={view} />;
    case "reserved":
      return <TimeToPay view={view} />;
    case "standby":
      return <Place sale={sale} view={view} />;
    case "paid":
      return (
        <PaidSeal className="w-36 animate-stamp sm:w-44" text={t.orders.status_paid} />
      );
    default:
      return null;
  }
}

function Ways({ sale, view, outcome }: Omit<ClaimPanelProps, "heading">) {
  const t = useText();
  const dispatch = useAppDispatch();
  return (
    <div className="mt-2 grid gap-3 empty:hidden">
      {outcome === "reserved" && (
        <ButtonLink
          to={`/sales/${sale.id}/checkout`}
          look="stage"
          className="min-h-16 w-full text-xl"
        >
          {t.outcome.check_out}
        </ButtonLink>
      )}
      {(outcome === "paid" || outcome === "refunded") && (
        <ButtonLink
          to={view.claim?.order === undefined ? "/orders" : `/orders/${view.claim.order}`}
          look="stage"
          className="min-h-14 w-full text-lg"
        >
          {t.outcome.see_order}
        </ButtonLink>
      )}
      {canGiveUp(outcome) && <GiveUp sale={sale.id} standby={outcome === "standby"} />}
      {outcome === "waiting" && (
        <Button look="stage-quiet" onClick={() => dispatch(askGivenUp(sale.id))}>
          {t.outcome.stop_trying}
        </Button>
      )}
      {sale.state === "ended" && OVER.has(outcome) && (
        <ButtonLink to="/" look="stage" className="w-full">
          {t.sale.see_others}
        </ButtonLink>
      )}
    </div>
  );
}

const OVER: ReadonlySet<Outcome> = new Set([
  "rejected",
  "not_won",
  "sold_out",
  "expired",
  "released",
  "left",
]);

function TimeToPay({ view }: { view: ClaimView }) {
  const t = useText();
  const deadline = view.claim?.deadline;
  const now_ms = useServerNow();
  if (deadline === undefined) return null;
  const over = timeLeft(Date.parse(deadline), now_ms).total_s === 0;
  return (
    <div className="grid gap-3">
      <p className="font-bold">
        {over ? t.outcome.reserved_over : t.outcome.reserved_left}
      </p>
      <Countdown until={deadline} label={t.outcome.reserved_left} size="stage" />
    </div>
  );
}

function Place({ sale, view }: { sale: Sale; view: ClaimView }) {
  const t = useText();
  const tick = useAppSelector((state) => selectStandby(state, sale.id));
  if (view.claim === null) return null;
  const position = positionOf(view.claim, tick);
  return (
    <div className="grid gap-3">
      <p className="font-bold">{t.outcome.standby_place}</p>
      {position === null ? (
        <p>{t.outcome.standby_unknown}</p>
      ) : (
        <>
          <Numerals value={String(position)} className="h-28 w-auto max-w-full sm:h-36" />
          <p className="sr-only" data-testid="position" aria-live="polite">
            {position}
          </p>
        </>
      )}
      {tick?.all_paid ? (
        <p className="rounded border border-white/60 px-3 py-2 font-bold">
          {t.outcome.all_paid}
        </p>
      ) : (
        <p className="font-bold">
          {[
            position === 1 ? t.outcome.standby_next : "",
            tick === null ? "" : t.outcome.standby_standing(tick.standing),
          ]
            .filter((text) => text !== "")
            .join(" ")}
        </p>
      )}
    </div>
  );
}

function RetryTime({ view }: { view: ClaimView }) {
  const t = useText();
  const now_ms = useServerNow() - useAppSelector(selectOffsetMs);
  if (view.request?.phase !== "waiting") return null;
  const seconds = t.time.seconds(
    Math.max(1, timeLeft(view.request.retry_at_ms, now_ms).total_s),
  );
  return (
    <>
      <Sweep />
      <p className="text-white/90">
        {view.request.reason === "offline"
          ? t.outcome.waiting_offline_hint(seconds)
          : t.outcome.waiting_busy_hint(seconds)}
      </p>
    </>
  );
}

/** Something is under way, of unknown length. */
function Sweep() {
  return (
    <div className="h-2 overflow-hidden rounded-full bg-white/25" aria-hidden="true">
      <div className="h-full w-2/7 animate-sweep rounded-full bg-white" />
    </div>
  );
}
