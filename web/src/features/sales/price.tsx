// What a unit costs, beside what it costs elsewhere.
import type { Sale } from "../../api/types";
import { useFormats, useText } from "../../i18n";

export function Price({ sale, large = false }: { sale: Sale; large?: boolean }) {
  const t = useText();
  const formats = useFormats();
  const { price, list_price } = sale;
  const off = percentOff(sale);
  return (
    <p className="flex flex-wrap items-baseline gap-x-3 gap-y-1">
      <span className={`font-black tracking-tight ${large ? "text-3xl" : "text-lg"}`}>
        {Number(price.amount) === 0 ? t.sales.free : formats.money(price)}
      </span>
      {list_price !== null && (
        <s className="text-soft">
          <span className="sr-only">{t.sales.list_price} </span>
          {formats.money(list_price)}
        </s>
      )}
      {large && off !== null && (
        <span className="rounded border border-accent px-1.5 font-bold text-accent text-sm">
          {t.sales.off(off)}
        </span>
      )}
    </p>
  );
}

/** Whole per cent below the list price, rounded down; null where there is none. */
function percentOff({ price, list_price }: Sale): number | null {
  if (list_price === null || list_price.currency !== price.currency) return null;
  const list = Number(list_price.amount);
  if (!(list > 0)) return null;
  const percent = Math.floor((1 - Number(price.amount) / list) * 100);
  return percent >= 1 ? percent : null;
}
