/**
 * L1 table entries ("Cluster mapping" in the specification).
 */
import { FormatError, hex } from './format-error.ts';
import { type Header, L1_ENTRY_BYTES } from './header.ts';
import { visitEntries } from './table-entries.ts';

/** Bits 56…62 of an entry. Bit 63 (COPIED) only describes the refcount. */
const RESERVED_HIGH = 0x7f000000;
const OFFSET_HIGH = 0x00ffffff;

/**
 * Decodes a whole L1 table.
 *
 * @returns the offset of each L2 table in bytes, 0 where there is none
 * @throws FormatError when an entry has reserved bits set or an unaligned offset
 */
export function decodeL1Table(bytes: Uint8Array, { clusterSizeBytes }: Header, what: string): Float64Array {
  const offsets = new Float64Array(bytes.length / L1_ENTRY_BYTES);
  visitEntries(bytes, (index, high, low) => {
    const offset = (high & OFFSET_HIGH) * 2 ** 32 + low;
    if ((high & RESERVED_HIGH) !== 0 || offset % clusterSizeBytes !== 0) {
      const stored = hex((BigInt(high) << 32n) | BigInt(low));
      throw new FormatError(
        `${what} entry ${index}: ${stored} has reserved bits set or an offset that is not a multiple of the cluster size`,
        { remedy: (file) => ({ kind: 'check', file }) },
      );
    }
    offsets[index] = offset;
  });
  return offsets;
}
