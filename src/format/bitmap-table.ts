/**
 * Bitmap table entries ("Bitmap table" in the specification). Each entry describes one cluster of bitmap
 * data.
 */
import { alignDown } from '../bytes/align.ts';
import { view } from '../bytes/struct.ts';
import { type HostOffset, hostOffset } from './addresses.ts';
import { FormatError, hex } from './format-error.ts';
import type { Header } from './header.ts';

export const BITMAP_TABLE_ENTRY_BYTES = 8;

/** All bits clear, all bits set, or a cluster that holds them. */
export type BitmapTableEntry = 'zeros' | 'ones' | { readonly dataOffset: HostOffset };

const ALL_ONES = 1;
const RESERVED_HIGH = 0xff000000;
const RESERVED_LOW = 0x1fe;

/** @throws FormatError when QEMU would refuse the entry, and with it the image */
export function decodeBitmapTable(bytes: Uint8Array, { clusterSizeBytes }: Header): BitmapTableEntry[] {
  const data = view(bytes);
  return Array.from({ length: bytes.length / BITMAP_TABLE_ENTRY_BYTES }, (_, index) => {
    const high = data.getUint32(index * BITMAP_TABLE_ENTRY_BYTES);
    const low = data.getUint32(index * BITMAP_TABLE_ENTRY_BYTES + 4);
    const allOnes = (low & ALL_ONES) !== 0;
    const dataOffset = hostOffset(high * 2 ** 32 + low - (allOnes ? ALL_ONES : 0));
    if (
      (high & RESERVED_HIGH) !== 0 ||
      (low & RESERVED_LOW) !== 0 ||
      dataOffset % clusterSizeBytes !== 0 ||
      (allOnes && dataOffset !== 0)
    ) {
      const stored = hex((BigInt(high) << 32n) | BigInt(low));
      throw new FormatError(
        `bitmap table entry ${index}: ${stored} has reserved bits set, an unaligned offset, or an offset together with bit 0`,
      );
    }
    if (dataOffset !== 0) return { dataOffset };
    return allOnes ? 'ones' : 'zeros';
  });
}

/** Possible data offsets of a table with broken entries. Other bits of the entries are ignored. */
export function possibleDataOffsets(bytes: Uint8Array, { clusterSizeBytes }: Header): HostOffset[] {
  const data = view(bytes);
  const offsets: HostOffset[] = [];
  for (let at = 0; at < bytes.length; at += BITMAP_TABLE_ENTRY_BYTES) {
    const offset = (data.getUint32(at) & ~RESERVED_HIGH) * 2 ** 32 + data.getUint32(at + 4);
    const aligned = alignDown(offset, clusterSizeBytes);
    if (aligned !== 0) offsets.push(hostOffset(aligned));
  }
  return offsets;
}

export function encodeBitmapTable(entries: readonly BitmapTableEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * BITMAP_TABLE_ENTRY_BYTES);
  const data = view(bytes);
  entries.forEach((entry, index) => {
    const value = entry === 'zeros' ? 0 : entry === 'ones' ? ALL_ONES : entry.dataOffset;
    data.setBigUint64(index * BITMAP_TABLE_ENTRY_BYTES, BigInt(value));
  });
  return bytes;
}
