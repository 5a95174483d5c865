/**
 * Text as bytes, for output of millions of lines: a string for each of them takes several times as long.
 */

const ZERO = 0x30;
const SPACE = 0x20;
const DIGITS = 8;
const SPLIT = 10 ** DIGITS;
/** '00' to '99', one after the other. */
const PAIRS = Uint8Array.from({ length: 200 }, (_, index) => {
  const number = index >>> 1;
  return ZERO + (index % 2 === 0 ? Math.floor(number / 10) : number % 10);
});

/** Of a whole number, 0 to Number.MAX_SAFE_INTEGER. */
export function decimalDigits(value: number): number {
  let digits = 1;
  for (let limit = 10; digits < 16 && value >= limit; limit *= 10) digits++;
  return digits;
}

/**
 * Writes a whole number, 0 to Number.MAX_SAFE_INTEGER, in decimal.
 *
 * @returns where it ends
 */
export function writeDecimal(out: Uint8Array, at: number, value: number): number {
  const end = at + decimalDigits(value);
  let rest = value;
  let to = end;
  while (rest >= SPLIT) {
    const high = Math.floor(rest / SPLIT);
    const low = rest - high * SPLIT;
    to -= DIGITS;
    writeEight(out, to, low | 0);
    rest = high;
  }
  let small = rest | 0;
  while (small >= 100) {
    const above = (small / 100) | 0;
    to -= 2;
    writePair(out, to, small - above * 100);
    small = above;
  }
  if (small >= 10) writePair(out, to - 2, small);
  else out[to - 1] = ZERO + small;
  return end;
}

function writeEight(out: Uint8Array, at: number, value: number): void {
  const high = (value / 10000) | 0;
  const low = value - high * 10000;
  const first = (high / 100) | 0;
  const third = (low / 100) | 0;
  writePair(out, at, first);
  writePair(out, at + 2, high - first * 100);
  writePair(out, at + 4, third);
  writePair(out, at + 6, low - third * 100);
}

function writePair(out: Uint8Array, at: number, value: number): void {
  out[at] = PAIRS[value * 2]!;
  out[at + 1] = PAIRS[value * 2 + 1]!;
}

/** The same, with spaces before it up to `width`. */
export function writeDecimalPadded(out: Uint8Array, at: number, value: number, width: number): number {
  let from = at;
  for (let spaces = width - decimalDigits(value); spaces > 0; spaces--) out[from++] = SPACE;
  return writeDecimal(out, from, value);
}

/** @returns where the piece ends */
export function writePiece(out: Uint8Array, at: number, piece: Uint8Array): number {
  // Shorter than what Uint8Array.prototype.set is good for.
  for (let index = 0; index < piece.length; index++) out[at + index] = piece[index]!;
  return at + piece.length;
}
