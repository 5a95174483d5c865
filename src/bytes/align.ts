/**
 * Integer arithmetic on sizes and offsets. All values are integers in [0, Number.MAX_SAFE_INTEGER].
 */

/** `value / divisor`, rounded up. */
export function divideUp(value: number, divisor: number): number {
  return Math.ceil(value / divisor);
}

/** The smallest multiple of `alignment` that is not below `value`. */
export function alignUp(value: number, alignment: number): number {
  return divideUp(value, alignment) * alignment;
}

/** The largest multiple of `alignment` that is not above `value`. */
export function alignDown(value: number, alignment: number): number {
  return value - (value % alignment);
}

export function isPowerOfTwo(value: number): boolean {
  return value >= 1 && Number.isInteger(Math.log2(value));
}
