// Under the header of every page: what is held for the person elsewhere, and
// what has become of other claims. Silent on the page of the sale itself,
// where the stage says it.
import { useEffect } from "react";
import { Link, useMatch } from "react-router";
import type { ClaimStatus, Sale } from "../../api/types";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { useText } from "../../i18n";
import type { Dictionary } from "../../i18n/en";
import { clockText, timeLeft, useServerNow } from "../live/use-server-now";
import { readSale } from "../sales/sales-actions";
import { selectSale, selectSales } from "../sales/sales-slice";
import { newsRead, selectClaimViews, selectNews } from "./claim-slice";

export function ClaimNews() {
  const t = useText();
  const dispatch = useAppDispatch();
  const here = useMatch("/sales/:id/*")?.params.id ?? null;
  const views = useAppSelector(selectClaimViews);
  const sales = useAppSelector(selectSales);
  const news = useAppSelector(selectNews);

  useEffect(() => {
    if (here !== null && news.includes(here)) dispatch(newsRead(here));
  }, [here, news, dispatch]);

  const held = Object.values(views).flatMap(({ claim }) =>
    claim?.status === "reserved" && claim.sale !== here ? [claim] : [],
  );
  const told = news.flatMap((sale) => {
    const status = views[sale]?.claim?.status;
    const text = status && newsText(status, sales[sale]?.title ?? t.news.a_sale, t);
    return text && sale !== here ? [{ sale, status, text }] : [];
  });

  return (
    <aside aria-label={t.news.label} className="empty:hidden">
      <div role="status">
        {told.map(({ sale, status, text }) =>
          status === "reserved" ? (
            <p key={sale} className="sr-only">
              {text}
            </p>
          ) : (
            <div key={sale} className="border-line border-b bg-sheet">
              <div className={BAR}>
                <p className="mr-auto font-bold">{text}</p>
                <Link to={`/sales/${sale}`} className={ACTION}>
                  {t.news.show}
                </Link>
                <button
                  type="button"
                  className={ACTION}
                  onClick={() => dispatch(newsRead(sale))}
                >
                  {t.close}
                </button>
              </div>
            </div>
          ),
        )}
      </div>
      {held.map((claim) => (
        <Held key={claim.sale} sale={claim.sale} deadline={claim.deadline ?? null} />
      ))}
    </aside>
  );
}

const BAR = "mx-auto flex max-w-6xl flex-wrap items-center gap-x-4 px-4 py-1.5 sm:px-6";
const ACTION =
  "inline-flex min-h-11 cursor-pointer items-center font-bold underline underline-offset-4";

function Held({ sale: id, deadline }: { sale: string; deadline: string | null }) {
  const t = useText();
  const dispatch = useAppDispatch();
  const sale: Sale | null = useAppSelector((state) => selectSale(state, id));
  const now_ms = useServerNow();
  const unknown = sale === null;

  useEffect(() => {
    if (unknown) void dispatch(readSale(id));
  }, [unknown, id, dispatch]);

  return (
    <div className="on-stage bg-stage-held text-white">
      <div className={BAR}>
        <p className="mr-auto font-bold">
          {t.news.holding(sale?.title ?? t.news.a_sale)}
        </p>
        {deadline !== null && (
          <span className="font-black text-lg">
            {clockText(timeLeft(Date.parse(deadline), now_ms))}
          </span>
        )}
        <Link to={`/sales/${id}/checkout`} className={ACTION}>
          {t.outcome.check_out}
        </Link>
      </div>
    </div>
  );
}

/** Null for what needs no telling elsewhere, such as what one did oneself. */
function newsText(status: ClaimStatus, title: string, t: Dictionary): string | null {
  switch (status) {
    case "reserved":
      return t.news.promoted(title);
    case "expired":
      return t.news.expired(title);
    case "paid":
      return t.news.paid(title);
    case "rejected":
      return t.news.rejected(title);
    case "refunded":
      return t.news.refunded(title);
    default:
      return null;
  }
}
