// Signing in; also where one lands when a session has ended.
import { Link, useSearchParams } from "react-router";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { useText } from "../../i18n";
import { AccountForm } from "./account-form";
import { nextPath, signUpPath } from "./require-session";
import { selectSessionEnded, signIn } from "./session-slice";

export function SignInPage() {
  const t = useText();
  const dispatch = useAppDispatch();
  const [search] = useSearchParams();
  const ended = useAppSelector(selectSessionEnded);
  return (
    <AccountForm
      title={t.session.sign_in_title}
      intro={ended ? <p role="status">{t.session.ended}</p> : null}
      submit={t.session.sign_in}
      is_new={false}
      send={({ email, password }) => dispatch(signIn({ email, password }))}
      other={
        <p>
          {t.session.no_account}{" "}
          <Link to={signUpPath(nextPath(search))} className="font-bold underline">
            {t.session.to_sign_up}
          </Link>
        </p>
      }
    />
  );
}
