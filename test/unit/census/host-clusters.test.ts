/** Sets of clusters of a file: what is put in, what is met, and what must be nobody else's. */
import { describe, expect, test } from 'vitest';
import { getBit } from '../../../src/bytes/bits.ts';
import {
  addOwnRange,
  addRange,
  findOverlap,
  type HostClusters,
  noHostClusters,
} from '../../../src/census/host-clusters.ts';
import { tableRoomBytes } from '../../../src/image/read-l2-tables.ts';
import { geometry } from '../format/stored-header.ts';
import { buildImage } from '../image/built-image.ts';

const layout = { clusterBits: 9, refcountOrder: 4, clusterCount: 20 };
const clustersIn = (set: HostClusters) =>
  Array.from({ length: set.bits.length * 8 }, (_, cluster) => cluster).filter((each) =>
    getBit(set.bits, each),
  );

async function emptySet() {
  const { image } = await buildImage(layout);
  return { image, set: noHostClusters(image) };
}

test('an empty set is over the clusters of the file, the last one perhaps in part', async () => {
  const { image, set } = await emptySet();
  expect([set.clusterCount, clustersIn(set)]).toEqual([20, []]);
  expect(set.bits).toHaveLength(3);
  const sized = (sizeBytes: number) => noHostClusters({ ...image, storage: { ...image.storage, sizeBytes } });
  expect(sized(19 * 512 + 1).clusterCount).toBe(20);
  expect(sized(2 ** 31 * 512).clusterCount).toBe(2 ** 31);
  expect(() => sized(2 ** 31 * 512 + 1)).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining('2147483649 clusters') }),
  );
});

test('a set has room for the tables that are read into it and for the units of one', async () => {
  const { image, set } = await emptySet();
  // 64 entries of 512 bytes.
  expect([set.units.length, set.tables.length]).toEqual([8, tableRoomBytes(image.header)]);
  // 4096 entries of 16 bytes, with 32 subclusters each.
  expect(noHostClusters({ ...image, header: geometry(16, true) }).units).toHaveLength((4096 * 32) / 8);
});

describe('a range', () => {
  test.each([
    ['of whole clusters', 1024, 1024, [2, 3]],
    ['that begins and ends within clusters', 1535, 2, [2, 3]],
    ['within one cluster', 1030, 4, [2]],
    ['up to the end of the file', 19 * 512, 512, [19]],
    ['beyond the end of the file', 19 * 512, 2048, [19]],
    ['of nothing', 1024, 0, []],
  ])('%s adds every cluster that it touches', async (_, offset, length, expected) => {
    const { image, set } = await emptySet();
    addRange(set, image, offset, length);
    expect(clustersIn(set)).toEqual(expected);
  });

  test('meets what was added before, and the lowest of it', async () => {
    const { image, set } = await emptySet();
    addRange(set, image, 5 * 512, 3 * 512);
    const meets = (offset: number, length: number) => findOverlap(set, image, offset, length);
    expect(meets(0, 5 * 512)).toBeUndefined();
    expect(meets(0, 5 * 512 + 1)).toBe(5);
    expect(meets(6 * 512, 20 * 512)).toBe(6);
    expect(meets(7 * 512 + 511, 1)).toBe(7);
    expect(meets(8 * 512, 20 * 512)).toBeUndefined();
    expect(meets(40 * 512, 512)).toBeUndefined();
    expect(meets(6 * 512, 0)).toBeUndefined();
  });

  test('that must be nobody else’s is added, or refused as a whole', async () => {
    const { image, set } = await emptySet();
    addOwnRange(set, image, 'the directory', 4 * 512, 1024);
    expect(clustersIn(set)).toEqual([4, 5]);
    expect(() => addOwnRange(set, image, 'a table', 3 * 512, 1024)).toThrow(
      expect.objectContaining({
        code: 'NEEDS_CHECK',
        message: 'built.qcow2: a table at 0x600 overlaps something else in the image at 0x800',
      }),
    );
    expect(() => addOwnRange(set, image, 'a table', 19 * 512, 513)).toThrow(
      expect.objectContaining({ code: 'INVALID_IMAGE', message: expect.stringContaining('beyond the end') }),
    );
    expect(clustersIn(set)).toEqual([4, 5]);
    addOwnRange(set, image, 'a table', 6 * 512, 512);
    expect(clustersIn(set)).toEqual([4, 5, 6]);
  });
});
