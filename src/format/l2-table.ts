/**
 * L2 tables as stored: one entry of 8 bytes, or 16 with extended L2 entries, for each cluster.
 */
import { view } from '../bytes/struct.ts';
import { type Header, l2EntryBytes } from './header.ts';
import type { L2EntryWords } from './l2-entry.ts';

export function readL2Entry(table: Uint8Array, index: number, header: Header): L2EntryWords {
  const data = view(table);
  const at = index * l2EntryBytes(header);
  return {
    high: data.getUint32(at),
    low: data.getUint32(at + 4),
    zeroMask: header.hasExtendedL2 ? data.getUint32(at + 8) : 0,
    dataMask: header.hasExtendedL2 ? data.getUint32(at + 12) : 0,
  };
}
