// One order, as a receipt; with thanks when one comes straight from paying.
import { useEffect } from "react";
import { Link, useLocation, useParams } from "react-router";
import type { Money, Order } from "../../api/types";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { problemText, useFormats, useText } from "../../i18n";
import { ButtonLink } from "../../ui/button";
import { ProblemBox } from "../../ui/form";
import { PaidSeal } from "../../ui/icons";
import { readOrder, selectOrder, selectOrdersProblem } from "./orders-slice";

export function OrderPage() {
  const { id = "" } = useParams();
  const t = useText();
  const dispatch = useAppDispatch();
  const order = useAppSelector((state) => selectOrder(state, id));
  const problem = useAppSelector(selectOrdersProblem);
  const fresh = (useLocation().state as { fresh?: boolean } | null)?.fresh === true;

  useEffect(() => {
    void dispatch(readOrder(id));
  }, [id, dispatch]);

  if (order === null)
    return problem === null ? (
      <p role="status" className="animate-breathe py-16 text-soft">
        {t.loading}
      </p>
    ) : (
      <div className="grid justify-items-start gap-4">
        <ProblemBox text={problemText(t, problem)} />
        <ButtonLink to="/orders">{t.orders.back}</ButtonLink>
      </div>
    );

  return (
    <div className="mx-auto grid max-w-2xl gap-6">
      <title>{`${t.orders.number(order.number)} · ${t.brand}`}</title>
      {fresh && (
        <p
          role="status"
          className="font-black text-3xl text-good tracking-tight sm:text-4xl"
        >
          {t.orders.thanks}
        </p>
      )}
      <Receipt order={order} />
      <Link
        to="/orders"
        className="inline-flex min-h-11 items-center justify-self-start font-bold underline underline-offset-4"
      >
        {t.orders.back}
      </Link>
    </div>
  );
}

function Receipt({ order }: { order: Order }) {
  const t = useText();
  const formats = useFormats();
  const { net, tax, shipping, discount, total } = order.totals;
  const sums: [string, Money][] = [
    [t.orders.net, net],
    [t.orders.tax, tax],
    [t.orders.shipping_cost, shipping],
    [t.orders.discount, discount],
  ];
  const paid = order.status === "paid";
  return (
    <article className="grid gap-6 rounded-xl border border-line bg-sheet p-5 sm:p-8">
      <header className="flex items-start justify-between gap-4">
        <div className="grid gap-1">
          <h1 className="font-black text-2xl tracking-tight sm:text-3xl">
            {t.orders.number(order.number)}
          </h1>
          <p className="text-soft">
            {t.orders.placed} {formats.moment(order.created_at)}
          </p>
          <p className="font-bold" data-testid="order-status">
            {paid ? t.orders.status_paid : t.orders.status_refunded}
          </p>
        </div>
        {paid && (
          <PaidSeal
            className="w-20 shrink-0 rotate-6 animate-stamp text-accent sm:w-24"
            text={t.orders.status_paid}
          />
        )}
      </header>
      <ul aria-label={t.orders.lines} className="border-ink border-t-2">
        {order.lines.map((line, index) => (
          <li
            key={`${index + 1} ${line.title}`}
            className="flex justify-between gap-6 border-line border-b py-3"
          >
            <span className="font-bold">
              {line.title} × {formats.count(line.quantity)}
            </span>
            <span>{formats.money(line.total)}</span>
          </li>
        ))}
      </ul>
      <dl className="grid gap-1.5">
        {sums
          .filter(([, money]) => Number(money.amount) !== 0)
          .map(([name, money]) => (
            <div key={name} className="flex justify-between gap-6 text-soft">
              <dt>{name}</dt>
              <dd>{formats.money(money)}</dd>
            </div>
          ))}
        <div className="mt-2 flex items-baseline justify-between gap-6">
          <dt className="font-bold">{t.orders.total}</dt>
          <dd className="font-black text-3xl tracking-tight">{formats.money(total)}</dd>
        </div>
      </dl>
      <section aria-labelledby="ship-to">
        <h2 id="ship-to" className="mb-1 font-bold">
          {t.orders.ship_to}
        </h2>
        <address className="text-soft not-italic">
          {order.shipping.name}
          <br />
          {order.shipping.phone}
          <br />
          {order.shipping.address}
        </address>
      </section>
    </article>
  );
}
