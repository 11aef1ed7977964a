// Puts the settings on the document: its language, so that voices and
// hyphenation fit, and its colours.
import { selectLocale, selectTheme } from "../features/settings/settings-slice";
import { langOf } from "../i18n/locale";
import type { AppStore } from "./store";

export function keepDocument(store: AppStore): void {
  function apply() {
    const state = store.getState();
    const root = document.documentElement;
    root.lang = langOf(selectLocale(state));
    const theme = selectTheme(state);
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
  }
  store.subscribe(apply);
  apply();
}
