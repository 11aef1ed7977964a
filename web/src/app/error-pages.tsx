// What is shown when an address leads nowhere or a page breaks.
import { useText } from "../i18n";
import { Button, ButtonLink } from "../ui/button";

export function NotFoundPage() {
  const t = useText();
  return (
    <div className="grid max-w-lg justify-items-start gap-4 py-10">
      <title>{`${t.not_found.title} · ${t.brand}`}</title>
      <h1 className="font-black text-4xl tracking-tight">{t.not_found.title}</h1>
      <p className="text-soft">{t.not_found.text}</p>
      <ButtonLink to="/">{t.not_found.back}</ButtonLink>
    </div>
  );
}

export function CrashPage() {
  const t = useText();
  return (
    <main className="mx-auto grid max-w-lg justify-items-start gap-4 px-4 py-16">
      <h1 className="font-black text-4xl tracking-tight">{t.crash.title}</h1>
      <Button onClick={() => window.location.reload()}>{t.crash.reload}</Button>
    </main>
  );
}
