/**
 * A fast decoder for common L2 entries. It gives the same result as decodeL2Entry, but reads the stored words
 * and creates no objects.
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

/** Bits of the high and low word that are clear in every valid entry, except a compressed one. */
export interface OddBits {
  readonly high: number;
  readonly low: number;
}

export function oddBits(header: Header): OddBits {
  const unaligned = (header.clusterSizeBytes - 1) & OFFSET_LOW;
  const noZeroFlag = header.version === 2 || header.hasExtendedL2 ? ZERO_LOW : 0;
  return { high: COMPRESSED_HIGH | RESERVED_HIGH, low: RESERVED_LOW | unaligned | noZeroFlag };
}

/** With extended entries or an external data file, no entry is plain. */
export function hasPlainEntries({ hasExtendedL2, hasDataFile }: Header): boolean {
  return !hasExtendedL2 && !hasDataFile;
}

/** A plain entry is a valid unallocated, data or zero cluster. */
export function isPlain(high: number, low: number, odd: OddBits): boolean {
  return ((high & odd.high) | (low & odd.low)) === 0;
}

/** The host offset of a plain entry in bytes, or 0 without a host cluster. */
export function plainHostOffset(high: number, low: number): number {
  return (high & OFFSET_HIGH) * 2 ** 32 + ((low & OFFSET_LOW) >>> 0);
}

/** Whether a plain entry has the zero flag. */
export function plainIsZero(low: number): boolean {
  return (low & ZERO_LOW) !== 0;
}
