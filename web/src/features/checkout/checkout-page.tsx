// Paying for what is held: the time that is left, the address, the card. What
// became of the payment is read from the claim, which is pushed.
import { useEffect } from "react";
import { Navigate, useNavigate, useParams } from "react-router";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { useFormats, useText } from "../../i18n";
import { ButtonLink } from "../../ui/button";
import { selectClaimView } from "../claim/claim-slice";
import { useOutcomeText } from "../claim/outcome-text";
import { outcomeOf } from "../claim/rule";
import { useClaim } from "../claim/use-claim";
import { Countdown } from "../live/countdown";
import { ProductImage } from "../sales/product-image";
import { openSale } from "../sales/sales-actions";
import { selectSale } from "../sales/sales-slice";
import { CheckoutForm } from "./checkout-form";
import { checkOut, checkoutOpened, selectCheckout } from "./checkout-slice";

export function CheckoutPage() {
  const { id = "" } = useParams();
  const t = useText();
  const dispatch = useAppDispatch();
  const navigate = useNavigate();
  const sale = useAppSelector((state) => selectSale(state, id));
  const view = useAppSelector((state) => selectClaimView(state, id));
  const { sending, awaiting, problem } = useAppSelector(selectCheckout);
  const outcome = outcomeOf(view, sale?.state ?? null);

  useEffect(() => {
    dispatch(checkoutOpened());
    void dispatch(openSale(id));
  }, [id, dispatch]);
  useClaim(id);

  if (sale === null || view.claim === null)
    return (
      <p role="status" className="animate-breathe py-16 text-soft">
        {t.loading}
      </p>
    );
  if (outcome === "paid" && view.claim.order !== undefined)
    return (
      <Navigate to={`/orders/${view.claim.order}`} state={{ fresh: true }} replace />
    );
  if (outcome !== "reserved" && outcome !== "paying") return <Ended sale={id} />;

  return (
    <div className="mx-auto grid max-w-5xl gap-8 lg:grid-cols-[1fr_22rem] lg:items-start">
      <title>{`${t.checkout.title} · ${sale.title} · ${t.brand}`}</title>
      <h1 className="font-black text-4xl tracking-tight lg:col-span-2">
        {t.checkout.title}
      </h1>
      <aside
        aria-label={t.checkout.summary}
        className="sticky top-0 z-10 grid gap-4 rounded-xl bg-stage-held p-4 text-white sm:p-5 lg:top-6 lg:col-start-2 lg:row-start-2"
      >
        {outcome === "reserved" && view.claim.deadline !== undefined && (
          <div className="flex items-center justify-between gap-4 lg:grid lg:justify-items-start lg:gap-2">
            <p className="font-bold">{t.checkout.time_left}</p>
            <Countdown
              until={view.claim.deadline}
              label={t.checkout.time_left}
              size="small"
            />
          </div>
        )}
        <div className="flex items-center gap-4 border-white/35 border-t pt-4">
          <ProductImage sale={sale} className="hidden size-16 shrink-0 sm:block" />
          <p className="mr-auto font-bold">{sale.title}</p>
          <Total sale={sale} />
        </div>
      </aside>
      <CheckoutForm
        sale={sale}
        busy={sending !== null || awaiting !== null || outcome === "paying"}
        problem={problem}
        onSend={async (body) => {
          const order = await dispatch(checkOut(id, body));
          if (order !== null) navigate(`/orders/${order.id}`, { state: { fresh: true } });
        }}
      />
    </div>
  );
}

function Total({ sale }: { sale: { price: { amount: string; currency: string } } }) {
  const formats = useFormats();
  return <p className="font-black text-xl">{formats.money(sale.price)}</p>;
}

/**
 * Nothing to pay: never, no longer, or paid just now. Whoever has paid is taken to the order
 * as soon as it is known which that is.
 */
function Ended({ sale: id }: { sale: string }) {
  const t = useText();
  const sale = useAppSelector((state) => selectSale(state, id));
  const view = useAppSelector((state) => selectClaimView(state, id));
  const outcome = outcomeOf(view, sale?.state ?? null);
  const told = useOutcomeText(outcome, view);
  const paid = outcome === "paid";
  const had_one =
    paid || outcome === "expired" || outcome === "released" || outcome === "refunded";
  return (
    <div className="grid max-w-lg justify-items-start gap-4 py-8" role="status">
      <title>{`${t.checkout.title} · ${t.brand}`}</title>
      <h1 className="font-black text-4xl tracking-tight">
        {had_one ? told.title : t.checkout.nothing_held}
      </h1>
      <p>{had_one ? told.hint : t.checkout.nothing_held_hint}</p>
      {paid ? (
        <ButtonLink to="/orders">{t.outcome.see_order}</ButtonLink>
      ) : (
        <ButtonLink to={`/sales/${id}`}>{t.checkout.back}</ButtonLink>
      )}
    </div>
  );
}
