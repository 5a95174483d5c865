/** A first set of bitmaps: the writes, their order, and the limits of the directory. */
import { describe, expect, test } from 'vitest';
import { cleanBitmap } from '../../../src/bitmap/dirty-bitmap.ts';
import { censusOf, requireSound } from '../../../src/census/census.ts';
import { clusterRange, hostOffset } from '../../../src/format/addresses.ts';
import type { BitmapDirectoryEntry } from '../../../src/format/bitmap-directory.ts';
import { openImage } from '../../../src/image/image.ts';
import { applyPlan } from '../../../src/plan/apply-plan.ts';
import type { BitmapSlot } from '../../../src/plan/bitmap-slot.ts';
import { keep } from '../../../src/plan/bitmap-slot.ts';
import { planDirectory } from '../../../src/plan/plan-directory.ts';
import { flatBits } from '../../support/flat-bits.ts';
import { type MemoryStorage, memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';
import {
  bitmapOf,
  CLUSTER,
  change,
  clean,
  countedClusters,
  DISK,
  emptyImage,
  FIRST,
  L1,
  mixed,
  planOn,
  store,
  written,
} from './planned-change.ts';

/** A file whose refcount table is full: each cluster that it can count is in use. Its backing file's name is in the way. */
function fullImage(): MemoryStorage {
  const clusters = 64 * 256;
  const bytes = Buffer.alloc(clusters * CLUSTER);
  bytes.set(
    storedHeader({
      cluster_bits: 9,
      size: DISK,
      l1_table_offset: L1 * CLUSTER,
      backing_file_offset: 112,
      backing_file_size: 4,
    }),
  );
  bytes.write('base', 112);
  for (let index = 0; index < 64; index++) {
    const block = (FIRST + index) * CLUSTER;
    bytes.writeBigUInt64BE(BigInt(block), CLUSTER + index * 8);
    for (let at = 0; at < CLUSTER; at += 2) bytes.writeUInt16BE(1, block + at);
  }
  return memoryStorage(bytes, { name: 'disk.qcow2' });
}

/** The three entries of the table in that cluster. */
const tableAt = (bytes: Buffer, cluster: number) =>
  [0, 8, 16].map((at) => bytes.readBigUInt64BE(cluster * CLUSTER + at));

describe('a first bitmap', () => {
  test('is written and counted before the header refers to it', async () => {
    const { plan, bytes, entries } = await change(await emptyImage(), [store('b', mixed)]);
    expect(written(plan)).toEqual([
      '8+1024: data of bitmap "b"',
      '10+512: data of bitmap "b"',
      '7+512: table of bitmap "b"',
      '6+512: bitmap directory',
      expect.stringMatching(/^2\..*: refcounts in block 0$/),
      'flush',
      expect.stringMatching(/^0\..*: header: bitmaps extension and autoclear bit 0, in one sector$/),
      'flush',
    ]);
    expect(plan).toMatchObject({
      commitIndex: 7,
      claimedClusters: 5,
      releasedClusters: 0,
      newEndOffset: 11 * CLUSTER,
    });
    expect(countedClusters(bytes)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(entries).toMatchObject([
      {
        name: 'b',
        granularityBits: 9,
        auto: true,
        inUse: false,
        tableOffset: 7 * CLUSTER,
        tableEntryCount: 3,
      },
    ]);
    expect(tableAt(bytes, 7)).toEqual([8, 9, 10].map((cluster) => BigInt(cluster * CLUSTER)));
    expect(bytes.subarray(8 * CLUSTER, 8 * CLUSTER + 1280).equals(flatBits(mixed.bits))).toBe(true);
    expect(bytes.subarray(8 * CLUSTER + 1280).every((byte) => byte === 0)).toBe(true);
  });

  test('needs no cluster for bits that are all clear or all set, which its table states', async () => {
    const bitmap = bitmapOf((byte) => (byte < 512 ? 0xff : byte < 1024 ? 0 : 1));
    const { plan, bytes } = await change(await emptyImage(), [store('b', bitmap)]);
    expect(plan).toMatchObject({ claimedClusters: 3, newEndOffset: 9 * CLUSTER });
    expect(tableAt(bytes, 7)).toEqual([1n, 0n, BigInt(8 * CLUSTER)]);
    expect([...new Set(bytes.subarray(8 * CLUSTER, 8 * CLUSTER + 256))]).toEqual([1]);
  });

  test('is written in one piece if its clusters are adjacent in the file and in the bitmap', async () => {
    const holed = await change(await emptyImage({ clusters: 14, counted: [9] }), [store('b', mixed)]);
    expect(written(holed.plan).slice(0, 3)).toEqual([
      '8+512: data of bitmap "b"',
      '10+512: data of bitmap "b"',
      '11+512: data of bitmap "b"',
    ]);
    expect(holed.plan.newEndOffset).toBe(14 * CLUSTER);
    const bitmap = bitmapOf((byte) => (byte >= 512 && byte < 1024 ? 0 : 1));
    const apart = await change(await emptyImage(), [store('b', bitmap)]);
    expect(written(apart.plan).slice(0, 2)).toEqual([
      '8+512: data of bitmap "b"',
      '9+512: data of bitmap "b"',
    ]);
    expect(tableAt(apart.bytes, 7)).toEqual([BigInt(8 * CLUSTER), 0n, BigInt(9 * CLUSTER)]);
  });

  test('may have the content of another one, with clusters of its own', async () => {
    const { bytes, entries } = await change(await emptyImage(), [
      store('one', mixed),
      store('two', mixed, { auto: false, inUse: true }),
    ]);
    expect(entries).toMatchObject([
      { name: 'one', auto: true, inUse: false, tableOffset: 7 * CLUSTER },
      { name: 'two', auto: false, inUse: true, tableOffset: 8 * CLUSTER },
    ]);
    const data = [...tableAt(bytes, 7), ...tableAt(bytes, 8)];
    expect(data).toEqual([9, 10, 11, 12, 13, 14].map((cluster) => BigInt(cluster * CLUSTER)));
    for (const offset of [9, 12]) {
      expect(bytes.subarray(offset * CLUSTER, offset * CLUSTER + 1280).equals(flatBits(mixed.bits))).toBe(
        true,
      );
    }
  });
});

describe('an image with a refcount table that must move for a bitmap', () => {
  test('has the new table in its header, and releases the old one', async () => {
    const storage = fullImage();
    const { plan, bytes, entries } = await change(storage, [store('b', clean)]);
    const { header, backing } = await openImage(storage);
    expect(entries).toMatchObject([{ name: 'b' }]);
    expect(backing?.name).toBe('base');
    expect(header.refcountTableOffset).toBeGreaterThanOrEqual(64 * 256 * CLUSTER);
    expect(header.refcountTableClusters).toBe(2);
    // Directory, table, the new refcount table, and a block to count them.
    expect(plan).toMatchObject({ claimedClusters: 5, releasedClusters: 1 });
    // The first block now stands in cluster 6.
    expect(bytes.readUInt16BE(FIRST * CLUSTER + 2 * 1)).toBe(0);
    expect(bytes.readUInt16BE(FIRST * CLUSTER + 2 * 2)).toBe(1);
  });

  test('an image without a refcount block gets one', async () => {
    const storage = await emptyImage();
    await storage.write(CLUSTER, new Uint8Array(8));
    const plan = await planOn(await openImage(storage), [store('b', clean)]);
    expect(written(plan)).toContain('1+8: refcount table entry 0');
  });
});

test('a table of several clusters is contiguous', async () => {
  // 65 entries.
  const large = cleanBitmap(64 * CLUSTER * 8 * 512 + 512, 9);
  const plan = await planOn(await openImage(await emptyImage()), [store('large', large), store('b', clean)]);
  expect(written(plan).slice(0, 3)).toEqual([
    '7+1024: table of bitmap "large"',
    '9+512: table of bitmap "b"',
    '6+512: bitmap directory',
  ]);
});

describe('a directory', () => {
  /** This number of bitmaps with names of this length. */
  const slots = (count: number, nameLength: number): BitmapSlot[] => {
    const entry: BitmapDirectoryEntry = {
      nameBytes: new Uint8Array(nameLength).fill(0x6e),
      name: 'n',
      granularityBits: 9,
      auto: true,
      inUse: false,
      tableOffset: hostOffset(7 * CLUSTER),
      tableEntryCount: 3,
    };
    return Array(count).fill(keep(entry));
  };
  const directoryOf = async (wanted: readonly BitmapSlot[]) => {
    const image = await openImage(await emptyImage());
    const nothing = { taken: [], released: [], leaked: [] };
    return planDirectory(requireSound(await censusOf(image)), wanted, nothing);
  };

  test('may have 65535 entries, and is refused with one more', async () => {
    await expect(directoryOf(slots(65535, 1))).resolves.toMatchObject({
      claimedClusters: expect.any(Number),
    });
    await expect(directoryOf(slots(65536, 1))).rejects.toMatchObject({
      code: 'BITMAP_LIMIT',
      message: expect.stringContaining(
        '65536 bitmaps in a directory of 2097152 bytes, QEMU allows 65535 in 67107840',
      ),
    });
  });

  test('may have 67107840 bytes, and is refused with more', async () => {
    await expect(directoryOf(slots(65535, 1000))).resolves.toMatchObject({
      claimedClusters: expect.any(Number),
    });
    await expect(directoryOf([...slots(65534, 1000), ...slots(1, 1001)])).rejects.toThrow(
      '65535 bitmaps in a directory of 67107848 bytes',
    );
  });

  test('is changed together with a release of leaked clusters', async () => {
    const storage = await emptyImage({ clusters: 8, counted: [7] });
    const image = await openImage(storage);
    const leaked = [clusterRange(7, 8)];
    const census = requireSound(await censusOf(image));
    const plan = await planDirectory(census, [], { taken: [], released: [], leaked });
    await applyPlan(storage, plan);
    expect(plan.releasedClusters).toBe(1);
    expect(countedClusters(Buffer.from(storage.contents()))).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
