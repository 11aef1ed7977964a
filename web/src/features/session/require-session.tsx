// Lets only the signed-in through; sends others to sign in and back here.
import { Navigate, Outlet, useLocation } from "react-router";
import { useAppSelector } from "../../app/hooks";
import { selectUser } from "./session-slice";

export function RequireSession() {
  const user = useAppSelector(selectUser);
  const { pathname } = useLocation();
  if (user === null) return <Navigate to={signInPath(pathname)} replace />;
  return <Outlet />;
}

export function signInPath(back_to: string): string {
  return `/sign-in?next=${encodeURIComponent(back_to)}`;
}

export function signUpPath(back_to: string): string {
  return `/sign-up?next=${encodeURIComponent(back_to)}`;
}

/** The page to go on to; only ever a path of this site. */
export function nextPath(search: URLSearchParams): string {
  const next = search.get("next") ?? "/";
  return /^\/(?![/\\])/.test(next) ? next : "/";
}
