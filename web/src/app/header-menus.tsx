// The two menus at the header's end: the colours, and the account.
import {
  Listbox,
  ListboxButton,
  ListboxOption,
  ListboxOptions,
  Menu,
  MenuButton,
  MenuItem,
  MenuItems,
} from "@headlessui/react";
import { Link } from "react-router";
import { signedOut } from "../features/session/session-slice";
import {
  selectTheme,
  type Theme,
  themeChosen,
} from "../features/settings/settings-slice";
import { useText } from "../i18n";
import { AccountIcon, ThemeIcon } from "../ui/icons";
import { useAppDispatch, useAppSelector } from "./hooks";

const ROUND =
  "inline-flex size-11 cursor-pointer items-center justify-center rounded-full hover:bg-wash";

export function ThemeChoice() {
  const t = useText();
  const dispatch = useAppDispatch();
  const theme = useAppSelector(selectTheme);
  const themes: { id: Theme; name: string }[] = [
    { id: "system", name: t.nav.theme_system },
    { id: "light", name: t.nav.theme_light },
    { id: "dark", name: t.nav.theme_dark },
  ];
  return (
    <Listbox value={theme} onChange={(chosen) => dispatch(themeChosen(chosen))}>
      <ListboxButton className={ROUND} aria-label={t.nav.theme}>
        <ThemeIcon className="size-5" />
      </ListboxButton>
      <ListboxOptions
        modal={false}
        anchor={{ to: "bottom end", gap: 6 }}
        className={PANEL}
      >
        {themes.map(({ id, name }) => (
          <ListboxOption
            key={id}
            value={id}
            className={`${ITEM} data-selected:font-bold data-selected:text-accent`}
          >
            {name}
          </ListboxOption>
        ))}
      </ListboxOptions>
    </Listbox>
  );
}

const PANEL =
  "z-10 min-w-44 rounded-md border border-line bg-sheet p-1.5 shadow-black/10 shadow-xl focus:outline-none";
const ITEM =
  "flex min-h-11 w-full cursor-pointer items-center rounded px-3 text-left data-focus:bg-wash";

export function AccountMenu({ name }: { name: string }) {
  const t = useText();
  const dispatch = useAppDispatch();
  return (
    <Menu>
      <MenuButton className={ROUND} aria-label={t.nav.account(name)}>
        <AccountIcon className="size-6" />
      </MenuButton>
      <MenuItems modal={false} anchor={{ to: "bottom end", gap: 6 }} className={PANEL}>
        <p className="truncate px-3 py-2 text-soft text-sm">{name}</p>
        <MenuItem>
          <Link to="/" className={`${ITEM} sm:hidden`}>
            {t.nav.sales}
          </Link>
        </MenuItem>
        <MenuItem>
          <Link to="/orders" className={ITEM}>
            {t.nav.orders}
          </Link>
        </MenuItem>
        <MenuItem>
          <button type="button" className={ITEM} onClick={() => dispatch(signedOut())}>
            {t.nav.sign_out}
          </button>
        </MenuItem>
      </MenuItems>
    </Menu>
  );
}
