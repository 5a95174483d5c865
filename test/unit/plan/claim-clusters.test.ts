/** A change claims exactly the requested clusters and the blocks and the table that count them. */
import { expect, test } from 'vitest';
import { clusterRange, hostCluster } from '../../../src/format/addresses.ts';
import { type Claims, claimClusters, claimedRuns, clusterCount } from '../../../src/plan/claim-clusters.ts';
import { freeClusters } from '../../../src/plan/free-clusters.ts';
import { buildImage, censusWith, type Layout } from '../image/built-image.ts';

/** Clusters [start, end). */
const range = (start: number, end: number) =>
  Array.from({ length: end - start }, (_, index) => start + index);

async function claim(
  layout: Partial<Layout>,
  contiguous: number[],
  pointedAt: readonly number[] = [],
): Promise<Claims> {
  const built = await buildImage({
    clusterBits: 9,
    refcountOrder: 4,
    clusterCount: 256,
    ...layout,
  });
  const census = censusWith(built, pointedAt);
  return claimClusters(census, freeClusters(census, []), { contiguous, scattered: 0 });
}

test('no other block is needed up to the last cluster of a block', async () => {
  const claims = await claim({ counted: range(0, 254) }, [2]);
  expect(claims.contiguous).toEqual([{ start: 254, end: 256 }]);
  expect([claims.newBlocks.size, claims.newTable]).toEqual([0, undefined]);
});

test('a new block counts itself if possible, even if a lower cluster is free', async () => {
  const counted = range(0, 256).filter((cluster) => cluster !== 10);
  const claims = await claim({ counted }, [2]);
  expect(claims.contiguous).toEqual([{ start: 256, end: 258 }]);
  expect([...claims.newBlocks]).toEqual([[1, 258]]);
});

test('a new block that cannot count itself is placed higher, with a block that counts it', async () => {
  // Blocks of 64: the second does not exist, and all it would count but one is pointed at.
  const layout = { refcountOrder: 6, clusterCount: 128, counted: range(0, 64), missingBlocks: [1] };
  const pointedAt = range(64, 128).filter((cluster) => cluster !== 70);
  const claims = await claim(layout, [1], pointedAt);
  expect(claims.contiguous).toEqual([{ start: 70, end: 71 }]);
  expect([...claims.newBlocks]).toEqual([
    [1, 128],
    [2, 129],
  ]);
});

test('a table is extended if it needs a block for which it has no entry', async () => {
  // A cluster of the table has 64 entries, for blocks of 64: the table of one cluster counts up to 4096.
  const layout = { refcountOrder: 6, clusterCount: 8192, counted: range(0, 4096) };
  const claims = await claim(layout, [1], range(4096, 8190));
  expect(claims.contiguous).toEqual([{ start: 8190, end: 8191 }]);
  expect([...claims.newBlocks]).toEqual([
    [127, 8191],
    [128, 8194],
  ]);
  expect(claims.newTable).toEqual({ start: 8195, end: 8198 });
});

test('a full table that needs one more entry grows by one cluster', async () => {
  const claims = await claim({ refcountOrder: 6, clusterCount: 4096, counted: range(0, 4096) }, [1]);
  expect([...claims.newBlocks]).toEqual([[64, 4097]]);
  expect(claims.newTable).toEqual({ start: 4098, end: 4100 });
});

test('the claimed clusters are the runs, the blocks and the table', () => {
  const claims: Claims = {
    contiguous: [clusterRange(4, 6)],
    scattered: [clusterRange(8, 9)],
    newBlocks: new Map([[1, hostCluster(300)]]),
    newTable: clusterRange(310, 312),
  };
  const runs = [clusterRange(4, 6), clusterRange(8, 9), clusterRange(300, 301)];
  expect(claimedRuns(claims)).toEqual([...runs, clusterRange(310, 312)]);
  expect(claimedRuns({ ...claims, newTable: undefined })).toEqual(runs);
  expect(clusterCount(runs)).toBe(4);
});
