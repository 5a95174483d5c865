/**
 * Writes text as bytes, for outputs of millions of lines. One string per line takes several times as long.
 */

const ZERO = 0x30;
const SPACE = 0x20;
const TEN_THOUSAND = 10 ** 4;
const EIGHT_DIGITS = 10 ** 8;
/** '00' to '99' as 16-bit words, little-endian. */
const PAIRS = Uint16Array.from(
  { length: 100 },
  (_, number) => ZERO + Math.floor(number / 10) + ((ZERO + (number % 10)) << 8),
);

/** The four digits of a number below 10000, as a 32-bit word, little-endian. */
function fourDigits(value: number): number {
  const high = (value / 100) | 0;
  return PAIRS[high]! | (PAIRS[value - high * 100]! << 16);
}

/**
 * The number of digits without leading zeros of a number below 10000. No branch, because none is predictable.
 */
function digitCount(value: number): number {
  return 1 + ((9 - value) >>> 31) + ((99 - value) >>> 31) + ((999 - value) >>> 31);
}

/**
 * Writes `numbers[index]` in decimal, a whole number from 0 to Number.MAX_SAFE_INTEGER. As an argument, a
 * large number would be a new object. It writes whole words, like `writePiece`.
 *
 * @returns the offset after the last digit
 */
export function writeDecimal(out: DataView, at: number, numbers: Float64Array, index: number): number {
  const value = numbers[index]!;
  if (value < EIGHT_DIGITS) return writeSmall(out, at, value | 0);
  const high = Math.floor(value / EIGHT_DIGITS);
  const end = writeSmall(out, at, high | 0);
  writeEight(out, end, (value - high * EIGHT_DIGITS) | 0);
  return end + 8;
}

/** Writes a number below 10^8. */
function writeSmall(out: DataView, at: number, value: number): number {
  const high = (value / TEN_THOUSAND) | 0;
  if (high === 0) return writeFirst(out, at, value);
  const end = writeFirst(out, at, high);
  out.setInt32(end, fourDigits(value - high * TEN_THOUSAND), true);
  return end + 4;
}

/** Writes a number below 10000 without leading zeros. */
function writeFirst(out: DataView, at: number, value: number): number {
  const count = digitCount(value);
  out.setInt32(at, fourDigits(value) >>> (32 - 8 * count), true);
  return at + count;
}

/** Writes a number below 10^8 with eight digits, including leading zeros. */
function writeEight(out: DataView, at: number, value: number): void {
  const high = (value / TEN_THOUSAND) | 0;
  out.setInt32(at, fourDigits(high), true);
  out.setInt32(at + 4, fourDigits(value - high * TEN_THOUSAND), true);
}

/** The width of a padded number: enough for Number.MAX_SAFE_INTEGER. */
export const PADDED_WIDTH = 16;

/** Like `writeDecimal`, but padded on the left with spaces to PADDED_WIDTH. */
export function writeDecimalPadded(out: DataView, at: number, numbers: Float64Array, index: number): number {
  const value = numbers[index]!;
  const high = Math.floor(value / EIGHT_DIGITS);
  const low = (value - high * EIGHT_DIGITS) | 0;
  if (high > 0) {
    if (high !== last.high) rememberHigh(high | 0);
    out.setInt32(at, last.first, true);
    out.setInt32(at + 4, last.second, true);
    writeEight(out, at + 8, low);
  } else {
    out.setInt32(at, FOUR_SPACES);
    out.setInt32(at + 4, FOUR_SPACES);
    writePadded(out, at + 8, low);
  }
  return at + PADDED_WIDTH;
}

/** The upper digits of the last long number, and their text as two words. In a column, they seldom change. */
const last = { high: 0, first: 0, second: 0 };

function rememberHigh(high: number): void {
  const text = new DataView(new ArrayBuffer(8));
  writePadded(text, 0, high);
  last.high = high;
  last.first = text.getInt32(0, true);
  last.second = text.getInt32(4, true);
}

const FOUR_SPACES = SPACE * 0x01010101;
/** Turns four zeros into four spaces. */
const ZEROS_TO_SPACES = (ZERO ^ SPACE) * 0x01010101;

/** Writes a number below 10^8, padded on the left with spaces to 8 characters. */
function writePadded(out: DataView, at: number, value: number): void {
  const high = (value / TEN_THOUSAND) | 0;
  const low = value - high * TEN_THOUSAND;
  out.setInt32(at, high === 0 ? FOUR_SPACES : firstDigits(high), true);
  out.setInt32(at + 4, high === 0 ? firstDigits(low) : fourDigits(low), true);
}

/** Like `fourDigits`, with spaces for leading zeros. */
function firstDigits(value: number): number {
  return fourDigits(value) ^ (ZEROS_TO_SPACES & ~(-1 << (8 * (4 - digitCount(value)))));
}

/** A text that is written many times. */
export interface Piece {
  readonly words: Int32Array;
  readonly length: number;
}

export function asciiPiece(text: string): Piece {
  const padded = new DataView(new ArrayBuffer(Math.ceil(text.length / 4) * 4));
  for (let index = 0; index < text.length; index++) padded.setUint8(index, text.charCodeAt(index));
  const words = Int32Array.from({ length: padded.byteLength / 4 }, (_, index) =>
    padded.getInt32(index * 4, true),
  );
  return { words, length: text.length };
}

/**
 * Writes whole words. Up to 3 bytes after the piece become zeros, and the next piece overwrites them.
 *
 * @returns the offset after the piece
 */
export function writePiece(out: DataView, at: number, { words, length }: Piece): number {
  for (let index = 0; index < words.length; index++) out.setInt32(at + index * 4, words[index]!, true);
  return at + length;
}
