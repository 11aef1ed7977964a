// The list of one's own orders.
import { useEffect } from "react";
import { Link } from "react-router";
import type { Order } from "../../api/types";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { problemText, useFormats, useText } from "../../i18n";
import { Button, ButtonLink } from "../../ui/button";
import { ProblemBox } from "../../ui/form";
import {
  readOrders,
  selectListed,
  selectNextPage,
  selectOrders,
  selectOrdersProblem,
} from "./orders-slice";

export function OrdersPage() {
  const t = useText();
  const dispatch = useAppDispatch();
  const listed = useAppSelector(selectListed);
  const by_id = useAppSelector(selectOrders);
  const next = useAppSelector(selectNextPage);
  const problem = useAppSelector(selectOrdersProblem);

  useEffect(() => {
    void dispatch(readOrders(true));
  }, [dispatch]);

  const orders = listed?.map((id) => by_id[id]).filter((order) => order !== undefined);
  return (
    <div className="mx-auto max-w-3xl">
      <title>{`${t.orders.title} · ${t.brand}`}</title>
      <h1 className="font-black text-4xl tracking-tight">{t.orders.title}</h1>
      <ProblemBox
        text={problem === null ? null : problemText(t, problem)}
        action={
          <Button look="quiet" onClick={() => dispatch(readOrders(true))}>
            {t.retry}
          </Button>
        }
      />
      {orders === undefined && problem === null && (
        <p role="status" className="animate-breathe py-10 text-soft">
          {t.loading}
        </p>
      )}
      {orders?.length === 0 && (
        <div className="grid justify-items-start gap-3 py-10">
          <p className="font-bold text-xl">{t.orders.none}</p>
          <p className="text-soft">{t.orders.none_hint}</p>
          <ButtonLink to="/">{t.nav.sales}</ButtonLink>
        </div>
      )}
      {orders !== undefined && orders.length > 0 && (
        <ul className="mt-6 border-ink border-t-2">
          {orders.map((order) => (
            <Row key={order.id} order={order} />
          ))}
        </ul>
      )}
      {next !== null && (
        <Button look="quiet" className="mt-6" onClick={() => dispatch(readOrders(false))}>
          {t.more}
        </Button>
      )}
    </div>
  );
}

function Row({ order }: { order: Order }) {
  const t = useText();
  const formats = useFormats();
  return (
    <li className="border-line border-b">
      <Link
        to={`/orders/${order.id}`}
        className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1 py-4 hover:bg-wash"
      >
        <span className="min-w-0 basis-full font-bold text-lg sm:basis-auto">
          {order.lines.map((line) => line.title).join(", ")}
        </span>
        <span className="font-bold">{formats.money(order.totals.total)}</span>
        <span className="basis-full text-soft text-sm">
          {t.orders.number(order.number)} · {formats.moment(order.created_at)} ·{" "}
          {order.status === "paid" ? t.orders.status_paid : t.orders.status_refunded}
        </span>
      </Link>
    </li>
  );
}
