// The form of the checkout: where the unit goes and the card that pays for it.
// It checks what a person can mistype; whether a card is good the server says.
import { type FormEvent, useState } from "react";
import type { CheckoutBody, Sale, Shipping } from "../../api/types";
import { useAppSelector } from "../../app/hooks";
import { problemText, useFormats, useText } from "../../i18n";
import type { Dictionary } from "../../i18n/en";
import { Button } from "../../ui/button";
import { ProblemBox, TextField, useFocusFirstError } from "../../ui/form";
import { selectUser } from "../session/session-slice";

interface CheckoutFormProps {
  sale: Sale;
  /** A payment is under way. */
  busy: boolean;
  /** Problem code of the last attempt. */
  problem: string | null;
  onSend: (body: CheckoutBody) => Promise<void>;
}

/** The cards of the sandbox that a newcomer may want to see at work. */
const CARDS = [
  { number: "4242424242424242", does: "card_pays" },
  { number: "4000000000000002", does: "card_declined" },
  { number: "4000000000000259", does: "card_slow" },
] as const;

export function CheckoutForm({ sale, busy, problem, onSend }: CheckoutFormProps) {
  const t = useText();
  const formats = useFormats();
  const user = useAppSelector(selectUser);
  const [shipping, setShipping] = useState<Shipping>({
    name: user?.name ?? "",
    phone: "",
    address: "",
  });
  const [card, setCard] = useState("");
  const [attempt, setAttempt] = useState(0);

  const errors = errorsOf(shipping, card, t);
  const shown = attempt === 0 ? NO_ERRORS : errors;
  const wrong = Object.values(errors).some((error) => error !== null);
  const card_refused =
    !busy && (problem === "invalid_card" || problem === "payment_declined");
  const form = useFocusFirstError(attempt + (card_refused ? 1 : 0));
  const set = (field: keyof Shipping) => (event: { target: { value: string } }) =>
    setShipping({ ...shipping, [field]: event.target.value });

  function onSubmit(event: FormEvent) {
    event.preventDefault();
    setAttempt(attempt + 1);
    if (busy || wrong) return;
    void onSend({
      payment: { method: "sandbox", card: digitsOf(card) },
      shipping: {
        name: shipping.name.trim(),
        phone: shipping.phone.trim(),
        address: shipping.address.trim(),
      },
    });
  }

  return (
    <form
      ref={form}
      noValidate
      onSubmit={onSubmit}
      className="grid gap-8 lg:col-start-1 lg:row-start-2"
    >
      <fieldset className="grid gap-4">
        <legend className="mb-3 font-black text-xl tracking-tight">
          {t.checkout.shipping}
        </legend>
        <TextField
          label={t.checkout.name}
          name="name"
          autoComplete="shipping name"
          value={shipping.name}
          onChange={set("name")}
          error={shown.name}
        />
        <TextField
          label={t.checkout.phone}
          name="phone"
          type="tel"
          autoComplete="shipping tel"
          value={shipping.phone}
          onChange={set("phone")}
          error={shown.phone}
        />
        <TextField
          label={t.checkout.address}
          name="address"
          autoComplete="shipping street-address"
          value={shipping.address}
          onChange={set("address")}
          error={shown.address}
        />
      </fieldset>
      <fieldset className="grid gap-4">
        <legend className="mb-3 font-black text-xl tracking-tight">
          {t.checkout.payment}
        </legend>
        <TextField
          label={t.checkout.card}
          name="card"
          inputMode="numeric"
          autoComplete="cc-number"
          placeholder="0000 0000 0000 0000"
          value={card}
          onChange={(event) => setCard(grouped(event.target.value))}
          error={shown.card ?? (card_refused ? problemText(t, problem) : null)}
        />
        <div className="grid gap-2 rounded-md bg-wash p-4">
          <p className="text-sm">{t.checkout.sandbox}</p>
          <ul className="grid gap-2 sm:grid-cols-3">
            {CARDS.map(({ number, does }) => (
              <li key={number}>
                <button
                  type="button"
                  aria-label={`${t.checkout.use_card(number.slice(-4))}: ${t.checkout[does]}`}
                  onClick={() => setCard(grouped(number))}
                  className="min-h-12 w-full cursor-pointer rounded border border-edge bg-sheet px-3 py-1.5 text-left text-sm hover:border-ink"
                >
                  <span className="block font-bold">•••• {number.slice(-4)}</span>
                  <span className="text-soft">{t.checkout[does]}</span>
                </button>
              </li>
            ))}
          </ul>
        </div>
      </fieldset>
      <ProblemBox
        text={problem === null || busy || card_refused ? null : problemText(t, problem)}
      />
      <Button type="submit" held={busy} className="min-h-16 text-xl">
        {busy
          ? t.checkout.paying
          : Number(sale.price.amount) === 0
            ? t.checkout.pay_free
            : t.checkout.pay(formats.money(sale.price))}
      </Button>
      <p role="status" className="sr-only">
        {busy ? t.checkout.paying : ""}
      </p>
    </form>
  );
}

const CARD_DIGITS = 16;
const PHONE_DIGITS_MIN = 6;
const NO_ERRORS = { name: null, phone: null, address: null, card: null };

function errorsOf(shipping: Shipping, card: string, t: Dictionary) {
  const phone_digits = digitsOf(shipping.phone).length;
  return {
    name: shipping.name.trim() === "" ? t.checkout.name_missing : null,
    phone: phone_digits < PHONE_DIGITS_MIN ? t.checkout.phone_missing : null,
    address: shipping.address.trim() === "" ? t.checkout.address_missing : null,
    card: digitsOf(card).length === CARD_DIGITS ? null : t.checkout.card_missing,
  };
}

function digitsOf(text: string): string {
  return text.replace(/\D/g, "");
}

/** As it is printed on the card: in groups of four. */
function grouped(card: string): string {
  return (
    digitsOf(card)
      .slice(0, CARD_DIGITS)
      .match(/.{1,4}/g) ?? []
  ).join(" ");
}
