/** Sets of clusters of a file: adding, and finding overlaps. */
import { describe, expect, test } from 'vitest';
import { getBit } from '../../../src/bytes/bits.ts';
import { hostOffset } from '../../../src/format/addresses.ts';
import {
  addRange,
  findOverlap,
  type HostClusters,
  noHostClusters,
} from '../../../src/image/host-clusters.ts';
import { buildImage } from './built-image.ts';

const layout = { clusterBits: 9, refcountOrder: 4, clusterCount: 20 };
const clustersIn = (set: HostClusters) =>
  Array.from({ length: set.bits.length * 8 }, (_, cluster) => cluster).filter((each) =>
    getBit(set.bits, each),
  );

async function emptySet() {
  const { image } = await buildImage(layout);
  return { image, set: noHostClusters(image) };
}

test('an empty set covers the clusters of the file, including a partial last one', async () => {
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
    addRange(set, { offset: hostOffset(offset), length }, image.header);
    expect(clustersIn(set)).toEqual(expected);
  });

  test('overlaps with what was added before, and returns the lowest common cluster', async () => {
    const { image, set } = await emptySet();
    addRange(set, { offset: hostOffset(5 * 512), length: 3 * 512 }, image.header);
    const meets = (offset: number, length: number) =>
      findOverlap(set, { offset: hostOffset(offset), length }, image.header);
    expect(meets(0, 5 * 512)).toBeUndefined();
    expect(meets(0, 5 * 512 + 1)).toBe(5);
    expect(meets(6 * 512, 20 * 512)).toBe(6);
    expect(meets(7 * 512 + 511, 1)).toBe(7);
    expect(meets(8 * 512, 20 * 512)).toBeUndefined();
    expect(meets(40 * 512, 512)).toBeUndefined();
    expect(meets(6 * 512, 0)).toBeUndefined();
  });
});
