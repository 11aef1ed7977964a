// One sale: what is sold, and the stage, where the countdown, the question and
// the person's own result take turns in the same place.
import { useEffect } from "react";
import { Link, useParams } from "react-router";
import type { Sale } from "../../api/types";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { problemText, useFormats, useText } from "../../i18n";
import { Button, ButtonLink } from "../../ui/button";
import { ProblemBox } from "../../ui/form";
import { useClaim } from "../claim/use-claim";
import { selectLocale } from "../settings/settings-slice";
import { Price } from "./price";
import { ProductImage } from "./product-image";
import { openSale } from "./sales-actions";
import { selectProblem, selectSale } from "./sales-slice";
import { Stage } from "./stage";

export function SalePage() {
  const { id = "" } = useParams();
  const t = useText();
  const dispatch = useAppDispatch();
  const sale = useAppSelector((state) => selectSale(state, id));
  const problem = useAppSelector((state) => selectProblem(state, id));
  const locale = useAppSelector(selectLocale);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another language has other texts
  useEffect(() => {
    void dispatch(openSale(id));
  }, [id, locale, dispatch]);
  useClaim(id);

  if (sale === null)
    return problem === null ? (
      <p role="status" className="animate-breathe py-16 text-soft">
        {t.loading}
      </p>
    ) : (
      <div className="grid justify-items-start gap-4">
        <ProblemBox text={problemText(t, problem)} />
        <div className="flex flex-wrap gap-3">
          <Button look="quiet" onClick={() => void dispatch(openSale(id))}>
            {t.retry}
          </Button>
          <ButtonLink to="/">{t.sale.back}</ButtonLink>
        </div>
      </div>
    );

  return (
    <article className="grid gap-x-10 gap-y-5 lg:grid-cols-[1fr_minmax(27rem,33rem)] lg:grid-rows-[auto_1fr]">
      <title>{`${sale.title} · ${t.brand}`}</title>
      <header className="grid gap-2 lg:col-start-2">
        <Link
          to="/"
          className="inline-flex min-h-11 items-center justify-self-start text-soft underline-offset-4 hover:underline"
        >
          ← {t.sale.back}
        </Link>
        <h1 className="font-black text-3xl leading-tight tracking-tight sm:text-4xl">
          {sale.title}
        </h1>
        <div className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1">
          <Price sale={sale} large />
          <p className="font-bold">{t.sales.units(sale.stock)}</p>
        </div>
      </header>
      <Stage sale={sale} />
      <div className="grid content-start gap-8 lg:col-start-1 lg:row-span-2 lg:row-start-1 lg:pt-13">
        <ProductImage sale={sale} className="aspect-[4/3] w-full" />
        {sale.description !== "" && (
          <section aria-labelledby="about">
            <h2 id="about" className="mb-2 font-black text-xl tracking-tight">
              {t.sale.about}
            </h2>
            <p className="max-w-prose whitespace-pre-line leading-relaxed">
              {sale.description}
            </p>
          </section>
        )}
        <Facts sale={sale} />
      </div>
    </article>
  );
}

function Facts({ sale }: { sale: Sale }) {
  const t = useText();
  const formats = useFormats();
  const hold =
    sale.hold_seconds >= 60 && sale.hold_seconds % 60 === 0
      ? t.time.minutes(sale.hold_seconds / 60)
      : t.time.seconds(sale.hold_seconds);
  const facts: [string, string][] = [
    [t.sale.stock, formats.count(sale.stock)],
    [t.sale.per_person, t.sale.one_each],
    [t.sale.hold, hold],
    [t.sale.opens, formats.moment(sale.starts_at)],
    [t.sale.ends, formats.moment(sale.ends_at)],
  ];
  return (
    <section aria-labelledby="facts">
      <h2 id="facts" className="mb-2 font-black text-xl tracking-tight">
        {t.sale.facts}
      </h2>
      <dl className="border-ink border-t-2">
        {facts.map(([name, value]) => (
          <div
            key={name}
            className="flex justify-between gap-6 border-line border-b py-2.5"
          >
            <dt className="text-soft">{name}</dt>
            <dd className="text-right font-bold">{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
