// The form that signing in and signing up share: fields, what is wrong with
// them, and what the server said. Each page says which fields and which call.
import { type FormEvent, type ReactNode, useState } from "react";
import { Navigate, useSearchParams } from "react-router";
import { useAppSelector } from "../../app/hooks";
import { problemText, useText } from "../../i18n";
import { Button } from "../../ui/button";
import { ProblemBox, TextField, useFocusFirstError } from "../../ui/form";
import { nextPath } from "./require-session";
import { selectUser } from "./session-slice";

export interface AccountValues {
  email: string;
  name: string;
  password: string;
}

interface AccountFormProps {
  title: string;
  intro: ReactNode;
  submit: string;
  is_new: boolean;
  /** Resolves to null when signed in, else to the problem's code. */
  send: (values: AccountValues) => Promise<string | null>;
  /** The way to the other form. */
  other: ReactNode;
}

type Field = keyof AccountValues;

export function AccountForm({
  title,
  intro,
  submit,
  is_new,
  send,
  other,
}: AccountFormProps) {
  const t = useText();
  const [search] = useSearchParams();
  const user = useAppSelector(selectUser);
  const [values, setValues] = useState<AccountValues>({
    email: "",
    name: "",
    password: "",
  });
  const [attempt, setAttempt] = useState(0);
  const [problem, setProblem] = useState<string | null>(null);
  const [sending, setSending] = useState(false);
  const [shown, setShown] = useState(false);
  const form = useFocusFirstError(attempt);

  if (user !== null) return <Navigate to={nextPath(search)} replace />;

  const errors = attempt === 0 ? NO_ERRORS : errorsOf(values);
  const set = (field: Field) => (event: { target: { value: string } }) =>
    setValues({ ...values, [field]: event.target.value });

  async function onSubmit(event: FormEvent) {
    event.preventDefault();
    setAttempt(attempt + 1);
    if (sending || Object.values(errorsOf(values)).some((error) => error !== null))
      return;
    setSending(true);
    setProblem(null);
    const code = await send({ ...values, email: values.email.trim() });
    setSending(false);
    setProblem(code);
  }

  return (
    <div className="mx-auto grid max-w-md gap-6 py-4 sm:py-8">
      <title>{`${title} · ${t.brand}`}</title>
      <div className="grid gap-2">
        <h1 className="font-black text-4xl tracking-tight">{title}</h1>
        {intro}
      </div>
      <form ref={form} noValidate onSubmit={onSubmit} className="grid gap-5">
        <ProblemBox text={problem === null ? null : problemText(t, problem)} />
        <TextField
          label={t.session.email}
          name="email"
          type="email"
          autoComplete="username"
          inputMode="email"
          autoCapitalize="none"
          maxLength={254}
          value={values.email}
          onChange={set("email")}
          error={errors.email}
        />
        {is_new && (
          <TextField
            label={t.session.name}
            name="name"
            autoComplete="name"
            maxLength={100}
            value={values.name}
            onChange={set("name")}
            error={errors.name}
          />
        )}
        <TextField
          label={t.session.password}
          name="password"
          type={shown ? "text" : "password"}
          autoComplete={is_new ? "new-password" : "current-password"}
          value={values.password}
          onChange={set("password")}
          error={errors.password}
          {...(is_new ? { hint: t.session.password_hint } : {})}
        />
        <label className="inline-flex min-h-11 cursor-pointer items-center gap-3">
          <input
            type="checkbox"
            className="size-5 accent-ink"
            checked={shown}
            onChange={(event) => setShown(event.target.checked)}
          />
          {t.session.show_password}
        </label>
        <Button type="submit" held={sending}>
          {sending ? t.session.working : submit}
        </Button>
      </form>
      {other}
    </div>
  );

  function errorsOf({ email, name, password }: AccountValues) {
    const password_error = password === "" ? t.session.password_missing : null;
    const too_short =
      is_new && password !== "" && [...password].length < PASSWORD_LEN_MIN;
    return {
      email: /^\S+@\S+\.\S+$/.test(email.trim()) ? null : t.session.email_missing,
      name: is_new && name.trim() === "" ? t.session.name_missing : null,
      password: too_short ? t.session.password_short : password_error,
    };
  }
}

const PASSWORD_LEN_MIN = 8;
const NO_ERRORS: Record<Field, string | null> = {
  email: null,
  name: null,
  password: null,
};
