// The question and the button. It stays in place from before the opening on,
// so that an answer chosen early and the keyboard's focus are still there.
import { Description, Label, Radio, RadioGroup } from "@headlessui/react";
import { type FormEvent, useState } from "react";
import { useLocation } from "react-router";
import type { Sale } from "../../api/types";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { problemText, useText } from "../../i18n";
import { Button, ButtonLink } from "../../ui/button";
import { CheckIcon } from "../../ui/icons";
import { ask } from "../claim/claim-actions";
import type { ClaimView } from "../claim/rule";
import { signInPath, signUpPath } from "../session/require-session";
import { selectSessionEnded, selectUser } from "../session/session-slice";

interface BuyFormProps {
  sale: Sale;
  view: ClaimView;
  /** What the button says while the sale is open. */
  label?: string;
}

export function BuyForm({ sale, view, label }: BuyFormProps) {
  const t = useText();
  const dispatch = useAppDispatch();
  const user = useAppSelector(selectUser);
  const [chosen, setChosen] = useState(view.answer);
  const [missing, setMissing] = useState(false);

  if (sale.state !== "scheduled" && sale.state !== "open") return null;
  if (user === null) return <SignInFirst early={sale.state === "scheduled"} />;

  const { question } = sale;
  // In another language the choices are other words.
  const answer = question?.choices.includes(chosen) ? chosen : null;
  const code = view.request?.phase === "refused" ? view.request.code : null;
  const wrong = code === "wrong_answer";
  const question_error = missing
    ? t.sale.choose_first
    : wrong
      ? problemText(t, "wrong_answer")
      : null;
  const open = sale.state === "open";

  function onSubmit(event: FormEvent) {
    event.preventDefault();
    if (!open) return;
    if (question !== null && answer === null) {
      setMissing(true);
      return;
    }
    void dispatch(ask(sale.id, answer ?? ""));
  }

  return (
    <form onSubmit={onSubmit} className="mt-6 grid gap-5">
      {question !== null && (
        <RadioGroup<"div", string | null>
          value={answer}
          onChange={(choice) => {
            setChosen(choice ?? "");
            setMissing(false);
          }}
          aria-invalid={question_error !== null || undefined}
          className="grid gap-2"
        >
          <Label className="font-bold text-lg">{question.text}</Label>
          {!open && (
            <Description className="text-sm text-white/85">
              {t.sale.question_hint_early}
            </Description>
          )}
          <div className="grid gap-2 sm:grid-cols-2">
            {question.choices.map((choice) => (
              <Radio key={choice} value={choice} className={CHOICE}>
                <span className="min-w-0">{choice}</span>
                <CheckIcon className="size-5 shrink-0 opacity-0 group-data-checked:opacity-100" />
              </Radio>
            ))}
          </div>
          {question_error !== null && (
            <Description role="alert" className={REFUSAL}>
              {question_error}
            </Description>
          )}
        </RadioGroup>
      )}
      {code !== null && !wrong && (
        <p role="alert" className={REFUSAL}>
          {problemText(t, code)}
        </p>
      )}
      <Button type="submit" look="stage" held={!open} className="min-h-16 w-full text-xl">
        {open ? (label ?? t.sale.buy) : t.sale.buy_early}
      </Button>
    </form>
  );
}

const CHOICE =
  "group flex min-h-12 cursor-pointer items-center justify-between gap-3 rounded-md border border-white/60 px-4 py-2.5 font-bold hover:bg-white/12 data-checked:border-white data-checked:bg-white data-checked:text-[#17171a]";
const REFUSAL = "rounded bg-white px-3 py-2 font-bold text-[#a51d10]";

function SignInFirst({ early }: { early: boolean }) {
  const t = useText();
  const { pathname } = useLocation();
  const ended = useAppSelector(selectSessionEnded);
  return (
    <div className="mt-6 grid gap-3">
      {ended && (
        <p role="alert" className="font-bold">
          {t.session.ended}
        </p>
      )}
      <ButtonLink
        to={signInPath(pathname)}
        look="stage"
        className="min-h-16 w-full text-xl"
      >
        {early ? t.sale.sign_in_early : t.sale.sign_in_to_buy}
      </ButtonLink>
      <p className="flex flex-wrap items-center justify-center gap-x-3">
        {t.sale.no_account}
        <ButtonLink to={signUpPath(pathname)} look="stage-quiet">
          {t.session.to_sign_up}
        </ButtonLink>
      </p>
    </div>
  );
}
