// One quiet line: whether the page is live, and what the server's clock says.
import { useAppSelector } from "../../app/hooks";
import { useFormats, useText } from "../../i18n";
import { selectConnection } from "./live-slice";
import { useServerNow } from "./use-server-now";

const DOT = {
  connecting: "bg-edge",
  live: "bg-good",
  lost: "animate-breathe bg-bad",
};

export function ConnectionLine() {
  const t = useText();
  const formats = useFormats();
  const connection = useAppSelector(selectConnection);
  const now_ms = useServerNow();
  return (
    <p className="inline-flex items-center gap-2 text-sm" data-testid="connection">
      <span aria-hidden="true" className={`size-2 rounded-full ${DOT[connection]}`} />
      <span>{t.live[connection]}</span>
      <span aria-hidden="true">·</span>
      <span>
        {t.live.server_clock} {formats.clock(now_ms)}
      </span>
    </p>
  );
}
