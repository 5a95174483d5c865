/** A real storage in memory, for tests of cuts and faults. */
import type { Storage } from '../../src/storage/storage.ts';

export interface MemoryStorage extends Storage {
  /** A copy of the present contents. */
  contents(): Uint8Array;
}

export function memoryStorage(
  initial: Uint8Array,
  { name = 'memory', canGrow = true }: { name?: string; canGrow?: boolean } = {},
): MemoryStorage {
  let bytes = initial.slice();
  return {
    name,
    canGrow,
    get sizeBytes() {
      return bytes.length;
    },
    async read(offset, into) {
      into.fill(0);
      into.set(bytes.subarray(offset, offset + into.length));
    },
    async write(offset, ...parts) {
      const data = Buffer.concat(parts);
      const end = offset + data.length;
      if (end > bytes.length) {
        if (!canGrow) throw new RangeError(`write past the end of ${name}`);
        const grown = new Uint8Array(end);
        grown.set(bytes);
        bytes = grown;
      }
      bytes.set(data, offset);
    },
    async flush() {},
    async close() {},
    contents: () => bytes.slice(),
  };
}
