/**
 * A fast decoder for common L2 entries: the same result as decodeL2Entry, from the stored words and without objects.
 */
import type { Header } from './header.ts';
import {
  COMPRESSED_HIGH,
  OFFSET_HIGH,
  OFFSET_LOW,
  RESERVED_HIGH,
  RESERVED_LOW,
  ZERO_LOW,
} from './l2-entry.ts';

/** Bits of the high and low word of which a plain entry has none. */
export interface OddBits {
  readonly high: number;
  readonly low: number;
}

/** Undefined where no entry is plain: with extended entries, and with an external data file. */
export function oddBits(header: Header): OddBits | undefined {
  if (header.hasExtendedL2 || header.hasDataFile) return undefined;
  const unaligned = (header.clusterSizeBytes - 1) & OFFSET_LOW;
  const noZeroFlag = header.version === 2 ? ZERO_LOW : 0;
  return { high: COMPRESSED_HIGH | RESERVED_HIGH, low: RESERVED_LOW | unaligned | noZeroFlag };
}

/** A plain entry is an unallocated, data or zero cluster, and nothing is wrong with it. */
export function isPlain(high: number, low: number, odd: OddBits): boolean {
  return ((high & odd.high) | (low & odd.low)) === 0;
}

/** Of a plain entry, in bytes; 0 where it has no host cluster. */
export function plainHostOffset(high: number, low: number): number {
  return (high & OFFSET_HIGH) * 2 ** 32 + ((low & OFFSET_LOW) >>> 0);
}

/** Of a plain entry: whether it reads as zeros. */
export function plainIsZero(low: number): boolean {
  return (low & ZERO_LOW) !== 0;
}
