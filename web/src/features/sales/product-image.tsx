// The product's picture, or a drawing where the sale has none. The drawing
// follows from the sale's id, so that each sale keeps its own.
import { useState } from "react";
import type { Sale } from "../../api/types";

export function ProductImage({
  sale,
  className = "",
}: {
  sale: Sale;
  className?: string;
}) {
  const [broken, setBroken] = useState(false);
  const frame = `overflow-hidden rounded-lg bg-wash ${className}`;
  if (sale.image !== null && !broken)
    return (
      <img
        src={sale.image}
        alt=""
        decoding="async"
        onError={() => setBroken(true)}
        className={`${frame} object-cover`}
      />
    );
  return (
    <div className={frame} aria-hidden="true">
      <Drawing seed={seedOf(sale.id)} />
    </div>
  );
}

function Drawing({ seed }: { seed: number }) {
  const turn = (seed % 12) * 30;
  const rings = 3 + (seed % 3);
  return (
    <svg
      viewBox="0 0 400 300"
      preserveAspectRatio="xMidYMid slice"
      className="size-full"
      aria-hidden="true"
    >
      <g fill="none" stroke="var(--color-line)" strokeWidth="2">
        {Array.from({ length: rings }, (_, ring) => (
          <circle key={`r${ring + 1}`} cx="200" cy="150" r={128 + ring * 44} />
        ))}
      </g>
      <circle cx="200" cy="150" r="104" fill="var(--color-sheet)" />
      <g transform={`rotate(${turn} 200 150)`}>
        <path d="M200 150V46a104 104 0 0 1 90 156Z" fill="var(--color-accent)" />
        <circle cx="200" cy="46" r="9" fill="var(--color-ink)" />
      </g>
      <circle
        cx="200"
        cy="150"
        r="104"
        fill="none"
        stroke="var(--color-ink)"
        strokeWidth="10"
      />
      <circle cx="200" cy="150" r="13" fill="var(--color-ink)" />
    </svg>
  );
}

function seedOf(id: string): number {
  let seed = 7;
  for (const char of id) seed = (seed * 31 + char.charCodeAt(0)) % 9973;
  return seed;
}
