/**
 * Formats sizes for users, and parses sizes that users write.
 */
import { UsageError } from '../errors.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const FACTORS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** For example "1.5 MiB"; at most one digit after the point. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // A value that rounds to 1024.0 is 1 of the next unit.
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** For example "1.7 %". */
export function formatShare(part: number, whole: number): string {
  if (whole === 0) return '0 %';
  const percent = (part / whole) * 100;
  return `${percent > 0 && percent < 0.1 ? '<0.1' : Number(percent.toFixed(1))} %`;
}

/**
 * Parses a size: a whole number with an optional suffix k, M, G or T, also written as KiB or KB (powers of
 * 1024).
 * For the rules of qemu-img see qemu-size.ts.
 *
 * @throws UsageError
 */
export function parseSize(text: string): number {
  const match = /^(\d+)(?:([kmgt])(?:i?b)?|b)?$/i.exec(text);
  const bytes = match === null ? Number.NaN : Number(match[1]) * FACTORS[(match[2] ?? '').toLowerCase()]!;
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new UsageError(
    `"${text}" is not a size: use a whole number of bytes, optionally with the suffix k, M, G or T`,
  );
}
