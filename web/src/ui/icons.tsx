// The few drawn signs of the pages. All are decoration: what they mean is said
// in words beside them.

interface IconProps {
  className?: string;
}

/** The mark: a seal with a clock's hands in it. */
export function Seal({ className }: IconProps) {
  return (
    <svg viewBox="0 0 32 32" className={className} aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="currentColor" />
      <g fill="none" stroke="var(--color-paper)" strokeWidth="3" strokeLinejoin="round">
        <circle cx="16" cy="16" r="9.5" />
        <path d="M16 10v6l4 3" />
      </g>
    </svg>
  );
}

export function ThemeIcon({ className }: IconProps) {
  return (
    <svg viewBox="0 0 20 20" className={className} aria-hidden="true">
      <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" strokeWidth="2" />
      <path d="M10 3a7 7 0 0 1 0 14Z" fill="currentColor" />
    </svg>
  );
}

export function AccountIcon({ className }: IconProps) {
  return (
    <svg viewBox="0 0 24 24" className={className} aria-hidden="true">
      <g fill="none" stroke="currentColor" strokeWidth="2">
        <circle cx="12" cy="12" r="9" />
        <circle cx="12" cy="10" r="3" />
        <path d="M6.500 18.500c1-3 3-4 5.500-4s4.500 1 5.500 4" />
      </g>
    </svg>
  );
}

export function CheckIcon({ className }: IconProps) {
  return (
    <svg viewBox="0 0 20 20" className={className} aria-hidden="true">
      <path d="m4 10.500 4 4 8-9" fill="none" stroke="currentColor" strokeWidth="3" />
    </svg>
  );
}

/** Stamped on what is paid. */
export function PaidSeal({ className, text }: IconProps & { text: string }) {
  return (
    <svg viewBox="0 0 120 120" className={className} aria-hidden="true">
      <g fill="none" stroke="currentColor">
        <rect x="6" y="6" width="108" height="108" rx="18" strokeWidth="7" />
        <path d="m32 58 20 21 36-42" strokeWidth="12" strokeLinejoin="round" />
      </g>
      <text
        x="60"
        y="102"
        textAnchor="middle"
        fontSize="15"
        fontWeight="800"
        letterSpacing="1"
        fill="currentColor"
      >
        {text}
      </text>
    </svg>
  );
}
