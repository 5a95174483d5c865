/**
 * Refcount table and refcount blocks ("Host cluster management" in the specification).
 */
import { skipBytes } from '../bytes/bits.ts';
import { view } from '../bytes/struct.ts';
import { FormatError, hex } from './format-error.ts';
import type { Header } from './header.ts';
import { visitEntries } from './table-entries.ts';

export const REFCOUNT_TABLE_ENTRY_BYTES = 8;
const RESERVED_BITS = 0x1ff;

/** Host clusters that one refcount block counts. */
export function clustersPerRefcountBlock({
  clusterSizeBytes,
  refcountOrder,
}: Pick<Header, 'clusterSizeBytes' | 'refcountOrder'>): number {
  return (clusterSizeBytes * 8) / 2 ** refcountOrder;
}

/**
 * @returns the offset of each refcount block in bytes, 0 where there is none
 * @throws FormatError when an entry has reserved bits set, is unaligned or beyond 2^53
 */
export function decodeRefcountTable(bytes: Uint8Array, { clusterSizeBytes }: Header): Float64Array {
  const offsets = new Float64Array(bytes.length / REFCOUNT_TABLE_ENTRY_BYTES);
  visitEntries(bytes, (index, high, low) => {
    const offset = high * 2 ** 32 + low;
    if ((low & RESERVED_BITS) !== 0 || offset % clusterSizeBytes !== 0 || !Number.isSafeInteger(offset)) {
      const stored = hex((BigInt(high) << 32n) | BigInt(low));
      throw new FormatError(
        `refcount table entry ${index}: ${stored} has reserved bits set or an offset that is not a multiple of the cluster size`,
        { remedy: (file) => ({ kind: 'check-and-repair', file, dropsOutdated: false }) },
      );
    }
    offsets[index] = offset;
  });
  return offsets;
}

export function encodeRefcountTableEntries(offsets: Float64Array): Uint8Array {
  const bytes = new Uint8Array(offsets.length * REFCOUNT_TABLE_ENTRY_BYTES);
  const data = view(bytes);
  offsets.forEach((offset, index) => {
    data.setBigUint64(index * REFCOUNT_TABLE_ENTRY_BYTES, BigInt(offset));
  });
  return bytes;
}

/** Entries narrower than a byte fill it from its lowest bits. Wider entries are big-endian. */
export function readRefcount(block: Uint8Array, index: number, order: number): bigint {
  const data = view(block);
  switch (order) {
    case 3:
      return BigInt(data.getUint8(index));
    case 4:
      return BigInt(data.getUint16(index * 2));
    case 5:
      return BigInt(data.getUint32(index * 4));
    case 6:
      return data.getBigUint64(index * 8);
    default: {
      const { byte, shift, mask } = packed(index, order);
      return BigInt((block[byte]! >>> shift) & mask);
    }
  }
}

/** Whether the refcount is 0. It uses no big integers, because it is called for millions of clusters. */
export function isFree(block: Uint8Array, index: number, order: number): boolean {
  if (order < 3) {
    const { byte, shift, mask } = packed(index, order);
    return ((block[byte]! >>> shift) & mask) === 0;
  }
  const widthBytes = 2 ** (order - 3);
  for (let byte = index * widthBytes; byte < (index + 1) * widthBytes; byte++) {
    if (block[byte] !== 0) return false;
  }
  return true;
}

/** Whether the refcounts [start, end), and those that share a byte with them, are 0. */
export function areFree(block: Uint8Array, start: number, end: number, order: number): boolean {
  const lastByte = Math.ceil((end * 2 ** order) / 8);
  return skipBytes(block, 0, Math.floor((start * 2 ** order) / 8), lastByte) === lastByte;
}

/**
 * Sets one bit for each refcount of a whole block that is not 0. It compares words with 0, so their byte
 * order does not matter.
 *
 * @param counted one bit for each cluster that the block counts
 */
export function markCounted(block: Uint8Array, order: number, counted: Uint8Array): void {
  if (order === 0) {
    counted.set(block);
    return;
  }
  const counts = wholeCounts(block, order);
  for (let byte = 0, index = 0; byte < counted.length; byte++) {
    let bits = 0;
    for (let bit = 0; bit < 8; bit++, index++) {
      const isCounted = counts === undefined ? !isFree(block, index, order) : counts[index] !== 0;
      if (isCounted) bits |= 1 << bit;
    }
    counted[byte] = bits;
  }
}

/** The refcounts as numbers in machine byte order. Undefined unless a refcount has 8, 16 or 32 bits. */
function wholeCounts(
  { buffer, byteOffset, byteLength }: Uint8Array,
  order: number,
): Uint8Array | Uint16Array | Uint32Array | undefined {
  switch (order) {
    case 3:
      return new Uint8Array(buffer, byteOffset, byteLength);
    case 4:
      return new Uint16Array(buffer, byteOffset, byteLength / 2);
    case 5:
      return new Uint32Array(buffer, byteOffset, byteLength / 4);
    default:
      return undefined;
  }
}

export function writeRefcount(block: Uint8Array, index: number, order: number, value: bigint): void {
  const data = view(block);
  switch (order) {
    case 3:
      data.setUint8(index, Number(value));
      return;
    case 4:
      data.setUint16(index * 2, Number(value));
      return;
    case 5:
      data.setUint32(index * 4, Number(value));
      return;
    case 6:
      data.setBigUint64(index * 8, value);
      return;
    default: {
      const { byte, shift, mask } = packed(index, order);
      block[byte] = (block[byte]! & ~(mask << shift)) | (Number(value) << shift);
    }
  }
}

function packed(index: number, order: number): { byte: number; shift: number; mask: number } {
  const widthBits = 2 ** order;
  const bit = index * widthBits;
  return { byte: Math.floor(bit / 8), shift: bit % 8, mask: 2 ** widthBits - 1 };
}
