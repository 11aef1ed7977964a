// What surrounds every page: the header with its menus, news of claims, the
// page itself and the footer. Moves focus to the page on navigation.
import { lazy, Suspense, useEffect, useRef } from "react";
import { Link, NavLink, Outlet, ScrollRestoration, useLocation } from "react-router";
import { ClaimNews } from "../features/claim/claim-news";
import { ConnectionLine } from "../features/live/connection-line";
import { selectUser } from "../features/session/session-slice";
import { localeChosen, selectLocale } from "../features/settings/settings-slice";
import { useText } from "../i18n";
import { LOCALES } from "../i18n/locale";
import { Seal } from "../ui/icons";
import { useAppDispatch, useAppSelector } from "./hooks";

// Nothing one needs in a hurry: they come after the first page is shown, and
// where they cannot be fetched the page does without.
const menus = () =>
  import("./header-menus").catch(() => ({ ThemeChoice: Nothing, AccountMenu: Nothing }));
const ThemeChoice = lazy(async () => ({ default: (await menus()).ThemeChoice }));
const AccountMenu = lazy(async () => ({ default: (await menus()).AccountMenu }));

function Nothing(_: { name?: string }) {
  return null;
}

export function Layout() {
  const t = useText();
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const arrived_at = useRef(pathname);

  useEffect(() => {
    // Not on the first page: there the reader starts at the top of the document.
    if (arrived_at.current === pathname) return;
    arrived_at.current = pathname;
    main.current?.focus({ preventScroll: true });
  }, [pathname]);

  return (
    <div className="flex min-h-dvh flex-col">
      <a
        href="#main"
        className="sr-only focus:not-sr-only focus:absolute focus:z-20 focus:bg-sheet focus:p-3"
      >
        {t.skip}
      </a>
      <Header />
      <ClaimNews />
      <main
        id="main"
        ref={main}
        tabIndex={-1}
        className="mx-auto w-full max-w-6xl flex-1 px-4 pt-4 pb-16 sm:px-6 sm:pt-8"
      >
        <Outlet />
      </main>
      <footer className="border-line border-t">
        <div className="mx-auto flex max-w-6xl flex-wrap items-center justify-between gap-x-6 gap-y-2 px-4 py-5 text-soft text-sm sm:px-6">
          <p>{t.footer}</p>
          <ConnectionLine />
        </div>
      </footer>
      <ScrollRestoration />
    </div>
  );
}

function Header() {
  const t = useText();
  const user = useAppSelector(selectUser);
  const navLook = ({ isActive }: { isActive: boolean }) =>
    `inline-flex min-h-11 items-center border-b-2 px-1 font-bold ${
      isActive ? "border-accent" : "border-transparent hover:border-edge"
    }`;
  return (
    <header className="border-line border-b">
      <div className="mx-auto flex max-w-6xl items-center gap-1 px-4 py-1.5 sm:gap-2 sm:px-6">
        <Link to="/" className="mr-auto inline-flex min-h-11 items-center gap-2.5">
          <Seal className="size-8 text-accent" />
          <span className="font-black text-lg tracking-tight">{t.brand}</span>
        </Link>
        <nav aria-label={t.nav.label} className="mr-2 hidden gap-5 sm:flex">
          <NavLink to="/" end className={navLook}>
            {t.nav.sales}
          </NavLink>
          {user !== null && (
            <NavLink to="/orders" className={navLook}>
              {t.nav.orders}
            </NavLink>
          )}
        </nav>
        <LanguageButton />
        <Suspense fallback={<span className="size-11" />}>
          <ThemeChoice />
        </Suspense>
        {user === null ? (
          <Link
            to="/sign-in"
            className="inline-flex min-h-11 items-center rounded-md px-2 font-bold hover:bg-wash"
          >
            {t.nav.sign_in}
          </Link>
        ) : (
          <Suspense fallback={<span className="size-11" />}>
            <AccountMenu name={user.name} />
          </Suspense>
        )}
      </div>
    </header>
  );
}

function LanguageButton() {
  const dispatch = useAppDispatch();
  const locale = useAppSelector(selectLocale);
  const other = LOCALES.find(({ id }) => id !== locale);
  if (other === undefined) return null;
  return (
    <button
      type="button"
      lang={other.lang}
      className="min-h-11 cursor-pointer rounded-md px-2 font-bold hover:bg-wash"
      onClick={() => dispatch(localeChosen(other.id))}
    >
      {other.name}
    </button>
  );
}
