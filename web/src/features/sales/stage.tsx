// The stage of a sale page: shows the sale's state until the person has asked,
// then what became of it. Says each change once to screen readers, and catches
// the focus when what had it is gone.
import { useEffect, useRef } from "react";
import type { Sale } from "../../api/types";
import { useAppSelector } from "../../app/hooks";
import { useText } from "../../i18n";
import { ButtonLink } from "../../ui/button";
import { ClaimPanel } from "../claim/claim-panel";
import { selectClaimView } from "../claim/claim-slice";
import { useOutcomeText } from "../claim/outcome-text";
import { outcomeOf } from "../claim/rule";
import { Countdown } from "../live/countdown";
import { clockText, timeLeft, useServerNow } from "../live/use-server-now";
import { BuyForm } from "./buy-form";
import { CLAIM_STAGE, STAGE } from "./stage-colors";

export function Stage({ sale }: { sale: Sale }) {
  const t = useText();
  const view = useAppSelector((state) => selectClaimView(state, sale.id));
  const outcome = outcomeOf(view, sale.state);
  const heading = useRef<HTMLHeadingElement>(null);
  const outcome_text = useOutcomeText(outcome, view);
  const idle = outcome === "idle";
  const color = outcome === "idle" ? STAGE[sale.state] : CLAIM_STAGE[outcome];

  // biome-ignore lint/correctness/useExhaustiveDependencies: runs at each change of these
  useEffect(() => {
    if (!idle && document.activeElement === document.body) heading.current?.focus();
  }, [outcome]);

  const announced = idle
    ? sale.state === "open"
      ? t.sale.announce_open
      : ""
    : `${outcome_text.title}. ${outcome_text.hint}`;

  return (
    <section
      aria-label={idle ? t.state[sale.state] : t.outcome.label}
      data-testid="stage"
      data-state={sale.state}
      data-outcome={outcome}
      className={`on-stage self-start rounded-xl p-5 text-white transition-colors duration-300 sm:p-7 lg:col-start-2 ${color}`}
    >
      <p role="status" className="sr-only">
        {announced}
      </p>
      {idle ? (
        <>
          <SaleHead sale={sale} />
          <BuyForm sale={sale} view={view} />
        </>
      ) : (
        <ClaimPanel sale={sale} view={view} outcome={outcome} heading={heading} />
      )}
    </section>
  );
}

function SaleHead({ sale }: { sale: Sale }) {
  const t = useText();
  switch (sale.state) {
    case "scheduled":
      return <Scheduled sale={sale} />;
    case "open":
      return <Open sale={sale} />;
    case "paused":
      return <Still title={t.sale.paused_title} hint={t.sale.paused_hint} />;
    case "sold_out":
      return (
        <Still
          title={t.sale.sold_out_title}
          hint={`${t.sale.sold_out_hint} ${t.sale.sold_out_watch}`}
        />
      );
    case "ended":
      return (
        <>
          <Still title={t.sale.ended_title} hint={t.sale.ended_hint} />
          <ButtonLink to="/" look="stage" className="mt-6 w-full">
            {t.sale.see_others}
          </ButtonLink>
        </>
      );
  }
}

function Scheduled({ sale }: { sale: Sale }) {
  const t = useText();
  const left = timeLeft(Date.parse(sale.starts_at), useServerNow());
  const due = left.total_s === 0;
  return (
    <div className="grid gap-4">
      <h2 className="font-bold text-xl">{due ? t.sale.opening : t.sale.opens_in}</h2>
      <Countdown until={sale.starts_at} label={t.sale.opens_in} size="stage" />
      <p className="text-white/85">{due ? t.sale.opening_hint : t.sale.scheduled_hint}</p>
    </div>
  );
}

function Open({ sale }: { sale: Sale }) {
  const t = useText();
  const left = timeLeft(Date.parse(sale.ends_at), useServerNow());
  return (
    <div className="grid animate-rise gap-2">
      <h2 className="font-black text-6xl tracking-tighter sm:text-7xl">
        {t.sale.open_now}
      </h2>
      {left.days === 0 && left.total_s > 0 && (
        <p className="text-white/90">{t.sale.closes_in(clockText(left))}</p>
      )}
    </div>
  );
}

function Still({ title, hint }: { title: string; hint: string }) {
  return (
    <div className="grid animate-rise gap-3">
      <h2 className="font-black text-5xl tracking-tighter sm:text-6xl">{title}</h2>
      <p className="text-white/90">{hint}</p>
    </div>
  );
}
