/** A stored bitmap is read cluster by cluster as its table says, and nothing else is read. */
import { describe, expect, test } from 'vitest';
import type { DirtyBitmap } from '../../../src/bitmap/dirty-bitmap.ts';
import { readBitmap, readInUseMarks } from '../../../src/bitmap/read-bitmap.ts';
import { hostOffset } from '../../../src/format/addresses.ts';
import type { BitmapDirectoryEntry } from '../../../src/format/bitmap-directory.ts';
import { openImage } from '../../../src/image/image.ts';
import { flatBits } from '../../support/flat-bits.ts';
import { memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';

const CLUSTER = 512;
const TABLE = 40 * CLUSTER;
const DATA = 41 * CLUSTER;
/** One cluster of bits stands for 2 MiB at the granularity of 512 bytes; the last has 3 bits. */
const SIZE = 2 * 2 ** 21 + 3 * 512;

/** A bitmap with `table` as its table, and the offsets of whatever is read while it is. */
async function stored(table: readonly bigint[], changes: Partial<BitmapDirectoryEntry> = {}) {
  const bytes = Buffer.alloc(42 * CLUSTER);
  bytes.set(storedHeader({ cluster_bits: 9, size: SIZE }));
  for (const [index, entry] of table.entries()) bytes.writeBigUInt64BE(entry, TABLE + index * 8);
  bytes.fill(0xa5, DATA);
  const storage = memoryStorage(bytes, { name: 'disk.qcow2' });
  const reads: number[] = [];
  const image = await openImage({
    ...storage,
    sizeBytes: bytes.length,
    read: (offset, into) => {
      reads.push(offset);
      return storage.read(offset, into);
    },
  });
  reads.length = 0;
  const entry: BitmapDirectoryEntry = {
    nameBytes: Buffer.from('b'),
    name: 'b',
    granularityBits: 9,
    auto: true,
    inUse: false,
    tableOffset: hostOffset(TABLE),
    tableEntryCount: table.length,
    ...changes,
  };
  return { image, entry, reads };
}

/** The bits that each entry of the table stands for. */
const parts = ({ bits }: DirtyBitmap) =>
  [0, 512, 1024].map((start) => [...new Set(flatBits(bits).subarray(start, start + 512))]);

describe('a stored bitmap', () => {
  test('has the bytes of its clusters in the order of the table', async () => {
    const { image, entry, reads } = await stored([0n, BigInt(DATA), 0n]);
    const bitmap = await readBitmap(image, entry);
    expect(flatBits(bitmap.bits)).toHaveLength(1025);
    expect(parts(bitmap)).toEqual([[0], [0xa5], [0]]);
    expect(reads).toEqual([TABLE, DATA]);
  });

  test('has no marks past the end of the disk, whatever is stored', async () => {
    const ones = await stored([1n, 0n, 1n]);
    expect(parts(await readBitmap(ones.image, ones.entry))).toEqual([[0xff], [0], [0b111]]);
    const cluster = await stored([0n, 0n, BigInt(DATA)]);
    expect(parts(await readBitmap(cluster.image, cluster.entry))).toEqual([[0], [0], [0b101]]);
  });
});

describe('a bitmap in use', () => {
  const inUse = { inUse: true };

  test('still has readable marks', async () => {
    const { image, entry } = await stored([1n, BigInt(DATA), 0n], inUse);
    expect(parts((await readInUseMarks(image, entry))!)).toEqual([[0xff], [0xa5], [0]]);
  });

  test.each([
    ['too few entries', [1n, 0n]],
    ['too many entries', [1n, 0n, 0n, 0n]],
    ['a reserved bit set', [1n, 2n, 0n]],
    ['a cluster beyond the end of the file', [1n, BigInt(42 * CLUSTER), 0n]],
  ])('has no marks if its table has %s', async (_, table) => {
    const { image, entry } = await stored(table, inUse);
    expect(await readInUseMarks(image, entry)).toBeUndefined();
  });

  test('has no marks if its table reaches beyond the end of the file', async () => {
    const { image, entry } = await stored([0n, 0n, 0n], { ...inUse, tableOffset: hostOffset(42 * CLUSTER) });
    expect(await readInUseMarks(image, entry)).toBeUndefined();
  });

  test('causes an error if it cannot be read for another reason', async () => {
    const { image, entry } = await stored([0n, 0n, 0n], inUse);
    const storage = { ...image.storage, read: () => Promise.reject(new Error('EIO')) };
    await expect(readInUseMarks({ ...image, storage }, entry)).rejects.toThrow('EIO');
  });
});
