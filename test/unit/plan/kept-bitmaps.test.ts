/** Kept bitmaps must not share their clusters. */
import { expect, test } from 'vitest';
import { getBit } from '../../../src/bytes/bits.ts';
import { hostOffset } from '../../../src/format/addresses.ts';
import type { BitmapDirectoryEntry } from '../../../src/format/bitmap-directory.ts';
import { keptClusters } from '../../../src/plan/kept-bitmaps.ts';
import { buildImage, censusWith } from '../image/built-image.ts';

const layout = { clusterBits: 9, refcountOrder: 4, clusterCount: 20 };

/** A bitmap whose table begins in that cluster and names no data. */
const bitmapAt = (tableCluster: number, tableEntryCount: number): BitmapDirectoryEntry => ({
  nameBytes: Buffer.from('b'),
  name: 'b',
  granularityBits: 9,
  auto: true,
  inUse: false,
  tableOffset: hostOffset(tableCluster * 512),
  tableEntryCount,
});

async function kept(pointedAt: readonly number[], ...entries: BitmapDirectoryEntry[]): Promise<number[]> {
  const census = censusWith(await buildImage(layout), pointedAt);
  const { bits, clusterCount } = await keptClusters(
    census,
    entries.map((entry) => ({ kind: 'keep', entry })),
  );
  return Array.from({ length: clusterCount }, (_, cluster) => cluster).filter((each) => getBit(bits, each));
}

const overlap = (taken: string) =>
  expect.objectContaining({
    code: 'NEEDS_CHECK',
    message: `built.qcow2: bitmap "b" at 0x1400 overlaps something else in the image at ${taken}`,
  });

test('a kept bitmap may be adjacent to other clusters and to the end of the file', async () => {
  expect(await kept([9, 12], bitmapAt(10, 65), bitmapAt(13, 64), bitmapAt(19, 64))).toEqual([10, 11, 13, 19]);
});

test('a kept bitmap that overlaps anything else is refused with the lowest common cluster', async () => {
  await expect(kept([12], bitmapAt(10, 129))).rejects.toEqual(overlap('0x1800'));
  await expect(kept([], bitmapAt(11, 1), bitmapAt(10, 65))).rejects.toEqual(overlap('0x1600'));
  await expect(kept([12], bitmapAt(11, 1), bitmapAt(10, 129))).rejects.toEqual(overlap('0x1600'));
});

test('a kept bitmap that reaches beyond the end of the file is refused', async () => {
  await expect(kept([], bitmapAt(19, 65))).rejects.toMatchObject({ code: 'INVALID_IMAGE' });
});
