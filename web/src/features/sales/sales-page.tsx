// The list of sales: the next one large, the others as a timetable. Their
// states follow the server by push.
import { useEffect, useMemo } from "react";
import { Link } from "react-router";
import type { Sale } from "../../api/types";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { problemText, useFormats, useText } from "../../i18n";
import { Button } from "../../ui/button";
import { ProblemBox } from "../../ui/form";
import { Countdown } from "../live/countdown";
import { selectConnection } from "../live/live-slice";
import { Price } from "./price";
import { ProductImage } from "./product-image";
import { readList } from "./sales-actions";
import { selectListed, selectNextPage, selectProblem, selectSales } from "./sales-slice";
import { STAGE } from "./stage-colors";

/** A crowd that sees a sale end does not ask for the next ones in step. */
const REREAD_AFTER_MS = 1_000;
const REREAD_SPREAD_MS = 3_000;

export function SalesPage() {
  const t = useText();
  const dispatch = useAppDispatch();
  const sales = useListedSales();
  const next = useAppSelector(selectNextPage);
  const problem = useAppSelector((state) => selectProblem(state, ""));
  useListKeptFresh(sales);

  const [first, ...others] = sales ?? [];
  return (
    <>
      <title>{`${t.sales.title} · ${t.brand}`}</title>
      <h1 className="sr-only">{t.sales.title}</h1>
      <ProblemBox
        text={problem === null ? null : problemText(t, problem)}
        action={
          <Button look="quiet" onClick={() => dispatch(readList(true))}>
            {t.retry}
          </Button>
        }
      />
      {sales === null && problem === null && <Placeholder />}
      {sales?.length === 0 && (
        <div className="grid gap-2 py-16">
          <p className="font-black text-3xl tracking-tight">{t.sales.none}</p>
          <p className="text-soft">{t.sales.none_hint}</p>
        </div>
      )}
      {first !== undefined && <Featured sale={first} />}
      {others.length > 0 && (
        <section className="mt-12" aria-labelledby="more-sales">
          <h2 id="more-sales" className="font-black text-2xl tracking-tight">
            {t.sales.more_sales}
          </h2>
          <ul className="mt-3 border-ink border-t-2">
            {others.map((sale) => (
              <Row key={sale.id} sale={sale} />
            ))}
          </ul>
        </section>
      )}
      {next !== null && sales !== null && (
        <Button look="quiet" className="mt-6" onClick={() => dispatch(readList(false))}>
          {t.more}
        </Button>
      )}
    </>
  );
}

/** The sale to go to now, across the page. */
function Featured({ sale }: { sale: Sale }) {
  const t = useText();
  const formats = useFormats();
  return (
    <section
      aria-labelledby="featured"
      className="grid overflow-hidden rounded-xl border border-line bg-sheet md:grid-cols-2"
    >
      <div
        className={`on-stage flex flex-col justify-between gap-8 p-5 text-white sm:p-8 ${STAGE[sale.state]}`}
      >
        <p className="font-bold text-lg">
          {sale.state === "scheduled"
            ? t.sales.opens_in
            : sale.state === "open"
              ? t.sales.on_now
              : t.state[sale.state]}
        </p>
        {sale.state === "scheduled" ? (
          <Countdown until={sale.starts_at} label={t.sales.opens_in} size="stage" />
        ) : (
          <p className="font-black text-6xl tracking-tighter sm:text-7xl">
            {t.state[sale.state]}
          </p>
        )}
        <p className="text-white/85">
          {`${whenText(sale, t, formats)} · ${t.sales.units(sale.stock)}`}
        </p>
      </div>
      <div className="flex flex-col gap-5 p-5 sm:p-8">
        <ProductImage sale={sale} className="aspect-[16/9] w-full" />
        <div className="grid gap-2">
          <h2 id="featured" className="font-black text-3xl tracking-tight sm:text-4xl">
            {sale.title}
          </h2>
          <Price sale={sale} large />
        </div>
        <Link
          to={`/sales/${sale.id}`}
          aria-describedby="featured"
          className="mt-auto inline-flex min-h-12 items-center justify-center rounded-md bg-ink px-5 font-bold text-paper hover:bg-ink/85"
        >
          {t.sales.go}
        </Link>
      </div>
    </section>
  );
}

function Row({ sale }: { sale: Sale }) {
  const t = useText();
  const formats = useFormats();
  const over = sale.state === "ended" || sale.state === "sold_out";
  return (
    <li className="border-line border-b">
      <Link
        to={`/sales/${sale.id}`}
        className="grid grid-cols-[4.500rem_1fr] items-center gap-x-4 gap-y-1 py-3 hover:bg-wash sm:grid-cols-[6rem_1fr_auto_8rem] sm:gap-x-6"
      >
        <ProductImage sale={sale} className="row-span-2 aspect-square sm:row-span-1" />
        <div className="min-w-0">
          <p className={`font-bold text-lg leading-snug ${over ? "text-soft" : ""}`}>
            {sale.title}
          </p>
          <p className="text-soft text-sm">
            <span className="inline-block">{whenText(sale, t, formats)}</span>
            <span className="before:mx-2 before:content-['·'] max-sm:block max-sm:before:hidden">
              {t.sales.units(sale.stock)}
            </span>
          </p>
        </div>
        <div className="col-start-2 flex items-center justify-between gap-3 sm:contents">
          <Price sale={sale} />
          <p
            className={`font-bold text-sm sm:text-right ${sale.state === "open" ? "text-accent" : "text-soft"}`}
          >
            {t.state[sale.state]}
          </p>
        </div>
      </Link>
    </li>
  );
}

function Placeholder() {
  const t = useText();
  return (
    <div role="status" className="grid min-h-96 place-items-center rounded-xl bg-wash">
      <p className="animate-breathe text-soft">{t.loading}</p>
    </div>
  );
}

function whenText(
  sale: Sale,
  t: ReturnType<typeof useText>,
  formats: ReturnType<typeof useFormats>,
): string {
  if (sale.state === "ended") return t.sales.ended_at(formats.moment(sale.ends_at));
  return sale.state === "scheduled"
    ? t.sales.opens_at(formats.moment(sale.starts_at))
    : t.sales.until(formats.moment(sale.ends_at));
}

/** Open sales first, then what opens next, then what is over; null while unread. */
function useListedSales(): Sale[] | null {
  const listed = useAppSelector(selectListed);
  const by_id = useAppSelector(selectSales);
  return useMemo(() => {
    if (listed === null) return null;
    const sales = listed.map((id) => by_id[id]).filter((sale) => sale !== undefined);
    return sales.sort(
      (a, b) =>
        ORDER[a.state] - ORDER[b.state] ||
        (a.state === "ended"
          ? Date.parse(b.ends_at) - Date.parse(a.ends_at)
          : Date.parse(a.starts_at) - Date.parse(b.starts_at)),
    );
  }, [listed, by_id]);
}

const ORDER = { open: 0, scheduled: 1, paused: 2, sold_out: 3, ended: 4 } as const;

/** Reads the list on arrival, in a new language, after an end, and when back on line. */
function useListKeptFresh(sales: Sale[] | null) {
  const dispatch = useAppDispatch();
  const unread = sales === null;
  const live = useAppSelector(selectConnection) === "live";
  const ended = sales?.filter((sale) => sale.state === "ended").length ?? 0;

  useEffect(() => {
    if (unread) void dispatch(readList(true));
  }, [unread, dispatch]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: each change of these is a reason
  useEffect(() => {
    if (unread) return;
    const wait_ms = REREAD_AFTER_MS + Math.random() * REREAD_SPREAD_MS;
    const timer = setTimeout(() => void dispatch(readList(true)), wait_ms);
    return () => clearTimeout(timer);
  }, [ended, live, dispatch]);
}
