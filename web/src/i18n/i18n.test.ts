import { describe, expect, it } from "vitest";
import { en } from "./en";
import { DICTIONARIES, problemText } from "./index";
import { langOf, preferredLocale } from "./locale";

/** Every sentence by its path; a function is called with figures and words. */
function sentences(node: unknown, path = ""): Map<string, string> {
  if (typeof node === "string") return new Map([[path, node]]);
  if (typeof node === "function") return new Map([[path, String(node(2, 3, 4))]]);
  return new Map(
    Object.entries(node as object).flatMap(([key, value]) => [
      ...sentences(value, `${path}.${key}`),
    ]),
  );
}

/** Codes of the contract that a buyer's page can meet. */
const CONTRACT_CODES = [
  "email_taken",
  "weak_password",
  "invalid_body",
  "bad_credentials",
  "unauthenticated",
  "no_such_sale",
  "body_too_large",
  "unsupported_media_type",
  "not_open",
  "ended",
  "paused",
  "entry_required",
  "pass_required",
  "wrong_answer",
  "too_many_requests",
  "unavailable",
  "overloaded",
  "no_claim",
  "payment_in_progress",
  "claim_over",
  "claim_changed",
  "token_expired",
  "payment_declined",
  "already_paid",
  "reservation_over",
  "invalid_card",
  "not_found",
  "idempotency_key_reused",
  "forbidden",
  "sale_ended",
];

describe("the dictionaries", () => {
  const english = sentences(en);

  it.each(Object.entries(DICTIONARIES))(
    "%s has_every_sentence",
    (_locale, dictionary) => {
      const here = sentences(dictionary);
      expect([...here.keys()].sort()).toEqual([...english.keys()].sort());
      for (const [path, text] of here) expect(text.trim(), path).not.toBe("");
    },
  );

  it("leave_nothing_in_english_in_the_chinese_pages", () => {
    for (const [path, text] of sentences(DICTIONARIES["zh-TW"]))
      expect(text, path).toMatch(/\p{Script=Han}/u);
  });

  it.each(Object.entries(DICTIONARIES))("%s has_a_sentence_for_each_code", (_l, t) => {
    for (const code of CONTRACT_CODES)
      expect(problemText(t, code), code).not.toBe(t.problems.unknown);
  });

  it("have_a_sentence_for_a_code_unknown_to_them", () => {
    expect(problemText(en, "brand_new")).toBe(en.problems.unknown);
  });
});

describe("the language", () => {
  it("is_the_readers_first_that_the_pages_have", () => {
    expect(preferredLocale(["fr-FR", "zh-HK", "en"])).toBe("zh-TW");
    expect(preferredLocale(["en-GB", "zh-TW"])).toBe("en");
    expect(preferredLocale(["fr"])).toBe("en");
  });

  it("names_the_script_to_screen_readers", () => {
    expect(langOf("zh-TW")).toBe("zh-Hant-TW");
  });
});
