// The product's own figures, drawn rather than set: a countdown looks the same
// on every device without loading a font. Not read by screen readers; whoever
// shows them says the same in words.

/** Strokes in a box 60 wide and 100 high. */
const DIGITS: Record<string, string> = {
  "0": "M30 8a22 22 0 0 1 22 22v40a22 22 0 0 1-44 0V30A22 22 0 0 1 30 8Z",
  "1": "M14 24 33 10V100",
  "2": "M8 34v-4a22 22 0 0 1 44 0c0 13-7 21-15 30L9 92h46",
  "3": "M8 8h42L29 40h2c13 0 21 10 21 25 0 16-9 27-23 27-12 0-20-7-22-18",
  "4": "M43 100V8h-3L9 70h50",
  "5": "M52 8H14l-3 40c5-5 11-8 18-8 14 0 23 10 23 26s-9 26-23 26c-12 0-20-6-22-17",
  "6": "M46 4C24 20 8 44 8 68a22 23 0 1 0 44 0 22 23 0 0 0-22-23c-11 0-19 7-21 17",
  "7": "M6 8h45L21 100",
  "8": "M30 47a19 19.500 0 1 1 0-39 19 19.500 0 1 1 0 39Zm0 0a22 22.500 0 1 1 0 45 22 22.500 0 1 1 0-45Z",
  "9": "M14 96c22-16 38-40 38-64a22 23 0 1 0-44 0 22 23 0 0 0 22 23c11 0 19-7 21-17",
};

const DIGIT_WIDTH = 60;
const COLON_WIDTH = 22;
const GAP = 10;
const HEIGHT = 100;

/** `value` is made of digits and colons; the drawing fills the width it is given. */
export function Numerals({ value, className }: { value: string; className?: string }) {
  let x = 0;
  const glyphs = [...value].map((glyph, index) => {
    const width = glyph === ":" ? COLON_WIDTH : DIGIT_WIDTH;
    const at = x;
    x += width + GAP;
    const key = `${value.length - index}${glyph}`;
    return glyph === ":" ? (
      <g key={key} fill="currentColor" stroke="none">
        <rect x={at + 4} y="26" width="14" height="14" />
        <rect x={at + 4} y="64" width="14" height="14" />
      </g>
    ) : (
      <path key={key} d={DIGITS[glyph] ?? ""} transform={`translate(${at} 0)`} />
    );
  });
  return (
    <svg
      viewBox={`-1 -1 ${Math.max(1, x - GAP) + 2} ${HEIGHT + 2}`}
      className={className}
      fill="none"
      stroke="currentColor"
      strokeWidth="15"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {glyphs}
    </svg>
  );
}

const MARKS = Array.from({ length: 60 }, (_, second) => second);

/** A minute laid flat: sixty marks, of which `seconds` are still full. */
export function SecondsRule({ seconds }: { seconds: number }) {
  return (
    <svg
      viewBox="0 0 600 16"
      preserveAspectRatio="none"
      className="h-2.5 w-full"
      aria-hidden="true"
      focusable="false"
    >
      {MARKS.map((second) => (
        <rect
          key={second}
          x={second * 10 + 3}
          y={second % 5 === 0 ? 0 : 6}
          width="4"
          height={second % 5 === 0 ? 16 : 10}
          fill="currentColor"
          opacity={second < seconds ? 1 : 0.22}
        />
      ))}
    </svg>
  );
}
