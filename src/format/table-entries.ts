/**
 * The entries of an L1 table or a refcount table. Often most of them are 0, and these are skipped.
 */
import { alignDown } from '../bytes/align.ts';
import { skipBytes } from '../bytes/bits.ts';
import { view } from '../bytes/struct.ts';

/** The size of an entry in both tables. */
const ENTRY_BYTES = 8;

/** Calls `visit` for each entry that is not 0, with its upper and its lower 32 bits. */
export function visitEntries(
  bytes: Uint8Array,
  visit: (index: number, high: number, low: number) => void,
): void {
  const data = view(bytes);
  const end = bytes.length;
  for (let byte = skipBytes(bytes, 0, 0, end); byte < end; byte = skipBytes(bytes, 0, byte, end)) {
    for (byte = alignDown(byte, ENTRY_BYTES); byte < end; byte += ENTRY_BYTES) {
      const high = data.getUint32(byte);
      const low = data.getUint32(byte + 4);
      if (high === 0 && low === 0) break;
      visit(byte / ENTRY_BYTES, high, low);
    }
  }
}

/** Calls `visit` for each offset of a decoded table that is not 0. */
export function visitOffsets(offsets: Float64Array, visit: (index: number, offset: number) => void): void {
  const { length } = offsets;
  const bytes = new Uint8Array(offsets.buffer, offsets.byteOffset, length * ENTRY_BYTES);
  const skip = (index: number) =>
    Math.floor(skipBytes(bytes, 0, index * ENTRY_BYTES, bytes.length) / ENTRY_BYTES);
  for (let index = skip(0); index < length; index = skip(index)) {
    do visit(index, offsets[index]!);
    while (++index < length && offsets[index] !== 0);
  }
}
