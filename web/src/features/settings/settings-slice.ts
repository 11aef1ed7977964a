// The reader's choices that are no secret and belong to this device:
// language and colour theme. Kept in localStorage by `app/persist`.
import { createSlice, type PayloadAction } from "@reduxjs/toolkit";
import type { Locale } from "../../i18n/locale";

export type Theme = "system" | "light" | "dark";

export interface SettingsState {
  locale: Locale;
  theme: Theme;
}

const initialState: SettingsState = { locale: "en", theme: "system" };

const slice = createSlice({
  name: "settings",
  initialState,
  reducers: {
    localeChosen(state, action: PayloadAction<Locale>) {
      state.locale = action.payload;
    },
    themeChosen(state, action: PayloadAction<Theme>) {
      state.theme = action.payload;
    },
  },
  selectors: {
    selectLocale: (state) => state.locale,
    selectTheme: (state) => state.theme,
  },
});

export const { localeChosen, themeChosen } = slice.actions;
export const { selectLocale, selectTheme } = slice.selectors;
export const settingsReducer = slice.reducer;
