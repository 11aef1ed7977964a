// Buttons, and links that look like buttons. A button that may not be pressed
// yet stays focusable (`held`), so that a keyboard is already there when it may.
import type { ComponentProps, ReactNode } from "react";
import { Link } from "react-router";

type Look = "primary" | "quiet" | "stage" | "stage-quiet";

const SHAPE =
  "inline-flex min-h-12 items-center justify-center gap-2 rounded-md px-5 py-2.5 text-center font-bold transition-colors duration-150 select-none";

const LOOKS: Record<Look, string> = {
  primary: "bg-ink text-paper hover:bg-ink/85",
  quiet: "border border-edge text-ink hover:bg-wash",
  stage: "bg-white text-[#17171a] hover:bg-white/85",
  "stage-quiet": "border border-white/60 text-white hover:bg-white/15",
};

const HELD = "cursor-not-allowed opacity-60";

interface ButtonProps extends Omit<ComponentProps<"button">, "disabled"> {
  look?: Look;
  /** Shown and focusable, but pressing does nothing. */
  held?: boolean;
}

export function Button({
  look = "primary",
  held = false,
  className = "",
  onClick,
  type = "button",
  ...rest
}: ButtonProps) {
  return (
    <button
      {...rest}
      type={type}
      aria-disabled={held || undefined}
      onClick={(event) => {
        if (held) event.preventDefault();
        else onClick?.(event);
      }}
      className={`${SHAPE} ${LOOKS[look]} ${held ? HELD : "cursor-pointer"} ${className}`}
    />
  );
}

interface ButtonLinkProps {
  to: string;
  look?: Look;
  className?: string;
  children: ReactNode;
}

export function ButtonLink({
  to,
  look = "primary",
  className = "",
  children,
}: ButtonLinkProps) {
  return (
    <Link to={to} className={`${SHAPE} ${LOOKS[look]} ${className}`}>
      {children}
    </Link>
  );
}
