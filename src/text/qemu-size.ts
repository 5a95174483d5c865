/**
 * Sizes as qemu-img 7.2 reads them on its command line (qemu_strtosz, cvtnum).
 */

const SUFFIXES = 'BKMGTPE';
const MAX_BYTES = 2n ** 63n - 1n;
/** Fractions are in units of 2^-64, as imprecise as in QEMU. */
const FRACTION_BITS = 64;

/** strtoull skips C white space. */
const SIZE =
  /^[ \t\n\v\f\r]*\+?(?:0x(?<hex>[\da-f]+)|(?<whole>\d+)(?:\.(?<fraction>\d*))?)(?<suffix>[bkmgtpe]?)$/i;

export class QemuSizeError extends Error {}

/**
 * Parses a number of bytes. The number is decimal or hexadecimal. A decimal number with a suffix may have a
 * fraction.
 * The suffixes b, k, M, G, T, P and E, in either case, are powers of 1024. The result is rounded to whole
 * bytes.
 *
 * @param what the name of the value in the message
 * @returns bytes, rounded above 2^53
 * @throws QemuSizeError
 */
export function parseQemuSize(text: string, what: string): number {
  const { hex, whole, fraction, suffix } = SIZE.exec(text)?.groups ?? {};
  const digits = hex === undefined ? whole : `0x${hex}`;
  const part = BigInt.asUintN(
    FRACTION_BITS,
    BigInt(Math.trunc(Number(`0.${fraction ?? ''}0`) * 2 ** FRACTION_BITS)),
  );
  // Bytes have no fraction. In a hexadecimal number, b is a digit.
  const power = SUFFIXES.indexOf((suffix || 'b').toUpperCase());
  if (digits === undefined || (power === 0 && part !== 0n)) {
    throw new QemuSizeError(
      `Invalid ${what} specified. You may use k, M, G, T, P or E suffixes for kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.`,
    );
  }
  const scale = 1024n ** BigInt(power);
  const half = 2n ** BigInt(FRACTION_BITS - 1);
  const bytes = BigInt(digits) * scale + ((part * scale + half) >> BigInt(FRACTION_BITS));
  if (bytes > MAX_BYTES) {
    throw new QemuSizeError(`Invalid ${what} specified. Must be between 0 and ${MAX_BYTES}.`);
  }
  return Number(bytes);
}
