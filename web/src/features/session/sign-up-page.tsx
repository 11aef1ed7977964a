// Making an account, which also signs in.
import { Link, useSearchParams } from "react-router";
import { useAppDispatch } from "../../app/hooks";
import { useText } from "../../i18n";
import { AccountForm } from "./account-form";
import { nextPath, signInPath } from "./require-session";
import { signUp } from "./session-slice";

export function SignUpPage() {
  const t = useText();
  const dispatch = useAppDispatch();
  const [search] = useSearchParams();
  return (
    <AccountForm
      title={t.session.sign_up_title}
      intro={<p className="text-soft">{t.session.before_opening}</p>}
      submit={t.session.sign_up}
      is_new={true}
      send={({ email, name, password }) =>
        dispatch(signUp({ email, name: name.trim(), password }))
      }
      other={
        <p>
          {t.session.have_account}{" "}
          <Link to={signInPath(nextPath(search))} className="font-bold underline">
            {t.session.to_sign_in}
          </Link>
        </p>
      }
    />
  );
}
