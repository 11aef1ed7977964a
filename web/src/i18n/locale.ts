// The languages of the pages. `id` is what Accept-Language says, `lang` is
// what the document says, so that screen readers pick the right voice.

export type Locale = "en" | "zh-TW";

export const LOCALES: readonly { id: Locale; lang: string; name: string }[] = [
  { id: "en", lang: "en", name: "English" },
  { id: "zh-TW", lang: "zh-Hant-TW", name: "繁體中文" },
];

/** The first language of the reader's that the pages have; English otherwise. */
export function preferredLocale(languages: readonly string[]): Locale {
  for (const language of languages) {
    const lower = language.toLowerCase();
    if (lower.startsWith("zh")) return "zh-TW";
    if (lower.startsWith("en")) return "en";
  }
  return "en";
}

export function langOf(locale: Locale): string {
  return LOCALES.find(({ id }) => id === locale)?.lang ?? "en";
}
