/** A change of the set of bitmaps: kept bitmaps, claimed clusters and released ones. */
import { describe, expect, test } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import { openImage } from '../../../src/image/image.ts';
import { keep } from '../../../src/plan/bitmap-slot.ts';
import { memoryStorage } from '../../support/memory.ts';
import {
  BLOCK,
  CLUSTER,
  change,
  clean,
  countedClusters,
  emptyImage,
  mixed,
  planOn,
  store,
  written,
} from './planned-change.ts';

describe('a change of the set', () => {
  /** "old" in clusters 7 and 9 to 11, "kept" in 8 and 12 to 14, the directory in 6. */
  async function twoBitmaps() {
    const storage = await emptyImage();
    const { entries } = await change(storage, [store('old', mixed), store('kept', mixed)]);
    return { storage, old: entries[0]!, kept: entries[1]! };
  }

  test('keeps a bitmap in place, and releases the other one and the old directory', async () => {
    const { storage, kept } = await twoBitmaps();
    const { plan, bytes, entries } = await change(storage, [keep(kept)]);
    expect(entries).toEqual([kept]);
    expect(written(plan)).toEqual([
      '15+512: bitmap directory',
      expect.stringMatching(/: refcounts in block 0$/),
      'flush',
      expect.stringMatching(/: header: bitmaps extension and autoclear bit 0, in one sector$/),
      'flush',
      expect.stringMatching(/: released refcounts in block 0$/),
      'flush',
    ]);
    expect(plan).toMatchObject({ commitIndex: 4, claimedClusters: 1, releasedClusters: 5 });
    expect(countedClusters(bytes)).toEqual([0, 1, 2, 3, 4, 5, 8, 12, 13, 14, 15]);
  });

  test('claims no cluster of the old set before the switch', async () => {
    const { storage, kept } = await twoBitmaps();
    const { plan } = await change(storage, [store('old', clean), keep(kept)]);
    expect(written(plan).slice(0, 2)).toEqual(['16+512: table of bitmap "old"', '15+512: bitmap directory']);
    expect(plan.releasedClusters).toBe(5);
  });

  test('to no bitmaps needs no directory, and releases everything', async () => {
    const { storage } = await twoBitmaps();
    const { plan, bytes, entries } = await change(storage, []);
    expect(entries).toEqual([]);
    expect(plan).toMatchObject({ claimedClusters: 0, releasedClusters: 9, newEndOffset: 15 * CLUSTER });
    expect(written(plan).filter((step) => /new clusters|directory|table of/.test(step))).toEqual([]);
    expect(written(plan)[0]).toMatch(/autoclear bit 0/);
    expect(countedClusters(bytes)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('that removes a bitmap with a broken table releases the clusters that the table may refer to', async () => {
    const { storage, kept } = await twoBitmaps();
    const broken = Buffer.alloc(8);
    broken.writeBigUInt64BE(BigInt(9 * CLUSTER) | 0x1fen);
    await storage.write(7 * CLUSTER, broken);
    const { bytes } = await change(storage, [keep(kept)]);
    expect(countedClusters(bytes)).toEqual([0, 1, 2, 3, 4, 5, 8, 12, 13, 14, 15]);
  });

  test('releases no cluster twice, no kept cluster, and none beyond the end of the file, whatever a table says', async () => {
    const { storage, old, kept } = await twoBitmaps();
    const image = await openImage(storage);
    const beyond = { ...old, tableOffset: hostOffset(100 * CLUSTER) };
    expect((await planOn(image, [keep(kept)], [old, beyond, old, kept])).releasedClusters).toBe(5);
    // Now its first entry names a cluster of the bitmap that is kept.
    const entry = Buffer.alloc(8);
    entry.writeBigUInt64BE(BigInt(12 * CLUSTER));
    await storage.write(7 * CLUSTER, entry);
    expect((await planOn(image, [keep(kept)], [old, kept])).releasedClusters).toBe(4);
  });

  test('is refused if a kept bitmap shares a cluster with another one', async () => {
    const { storage, old, kept } = await twoBitmaps();
    await storage.write(8 * CLUSTER, storage.contents().subarray(7 * CLUSTER, 7 * CLUSTER + 8));
    const image = await openImage(storage);
    await expect(planOn(image, [keep(old), keep(kept)])).rejects.toThrow('disk.qcow2');
    // The references of a bitmap in use are not reliable.
    const inUse = { ...kept, inUse: true };
    const plan = await planOn(image, [keep(old), keep(inUse)], [old, inUse]);
    expect(plan.releasedClusters).toBe(1);
  });

  test('claims no cluster that a kept bitmap in use may refer to', async () => {
    const { storage, kept } = await twoBitmaps();
    await storage.write(BLOCK * CLUSTER + 2 * 12, new Uint8Array(2));
    const inUse = { ...kept, inUse: true };
    const plan = await planOn(await openImage(storage), [keep(inUse), store('new', mixed)], [inUse]);
    expect(written(plan).some((step) => step.startsWith('12+'))).toBe(false);
  });

  test('is refused if a bitmap in use points beyond the end of the file, which may end within a cluster', async () => {
    const { storage, kept } = await twoBitmaps();
    const inUse = { ...kept, inUse: true };
    const planWith = async (bytes: Uint8Array) =>
      planOn(await openImage(memoryStorage(bytes, { name: 'disk.qcow2' })), [keep(inUse)], [inUse]);
    await expect(planWith(storage.contents().subarray(0, 14 * CLUSTER + 1))).resolves.toMatchObject({
      claimedClusters: 1,
    });
    await expect(planWith(storage.contents().subarray(0, 14 * CLUSTER))).rejects.toMatchObject({
      code: 'BITMAP_INCONSISTENT',
      message: 'disk.qcow2: bitmap "kept" is marked in-use and points beyond the end of the file at 0x1c00',
    });
  });
});
