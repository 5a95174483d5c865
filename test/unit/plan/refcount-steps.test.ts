/** Claims and their refcounts: after the steps every used cluster is counted by its own block. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ClusterRange, clusterRange, hostCluster } from '../../../src/format/addresses.ts';
import { clustersPerRefcountBlock } from '../../../src/format/refcounts.ts';
import { openImage } from '../../../src/image/image.ts';
import {
  blockIndexOf,
  readRefcountBlock,
  readRefcountTable,
  refcountIn,
} from '../../../src/image/refcount-table.ts';
import { type Claims, claimClusters, claimedRuns, clusterCount } from '../../../src/plan/claim-clusters.ts';
import { freeClusters } from '../../../src/plan/free-clusters.ts';
import type { Step } from '../../../src/plan/plan.ts';
import { loadBlocks, planRefcounts, tableRun } from '../../../src/plan/refcount-steps.ts';
import type { Storage } from '../../../src/storage/storage.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { type BuiltImage, buildImage, censusWith, type Layout } from '../image/built-image.ts';

async function run(storage: Storage, steps: readonly Step[]): Promise<void> {
  for (const step of steps) if (step.kind === 'write') await storage.write(step.offset, step.bytes);
}

/** The refcount of every cluster from 0, as the bytes of the image have it now. */
async function refcountsNow(storage: Storage, count: number): Promise<bigint[]> {
  const image = await openImage(storage);
  const refcounts = await readRefcountTable(image);
  const found: bigint[] = [];
  let block: Uint8Array | undefined;
  for (let cluster = hostCluster(0); cluster < count; cluster++) {
    if (cluster % clustersPerRefcountBlock(image.header) === 0)
      block = await readRefcountBlock(image, refcounts, blockIndexOf(cluster, image.header));
    found.push(block === undefined ? 0n : refcountIn(block, cluster, image.header));
  }
  return found;
}

const clustersOf = (runs: readonly ClusterRange[]) =>
  runs.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, index) => start + index));

async function claim(
  built: BuiltImage,
  contiguous: number[],
  scattered: number,
  pointedAt: Iterable<number> = [],
): Promise<Claims> {
  const census = censusWith(built, [...built.counted, ...pointedAt]);
  return claimClusters(census, freeClusters(census, []), { contiguous, scattered });
}

/** Carries out the plan phase by phase, and judges the image after each. */
async function carryOut(built: BuiltImage, claims: Claims, released: readonly ClusterRange[]): Promise<void> {
  const { counted } = built;
  const census = censusWith(built);
  const { storage } = built.image;
  const claimed = claimedRuns(claims);
  const oldTable = claims.newTable === undefined ? [] : [tableRun(census)];
  const loaded = await loadBlocks(census, [...claimed, ...released, ...oldTable]);
  const steps = planRefcounts(census, loaded, claims, released);
  const end = Math.max(...clustersOf(claimed), ...counted) + 1;

  const before = await refcountsNow(storage, end);
  await run(storage, steps.claim);
  const afterClaim = await refcountsNow(storage, end);
  // Nothing that was counted may lose its count before the switch.
  expect(before.every((count, cluster) => afterClaim[cluster]! >= count)).toBe(true);

  await run(storage, steps.reveal);
  const expected = before.slice();
  for (const cluster of clustersOf(claimed)) expected[cluster] = 1n;
  expectEqual(await refcountsNow(storage, end), expected);

  await run(storage, steps.release);
  for (const cluster of clustersOf([...released, ...oldTable])) expected[cluster]! -= 1n;
  expectEqual(await refcountsNow(storage, end), expected);
}

const anyLayout = fc.record({
  clusterBits: fc.constant(9),
  refcountOrder: fc.integer({ min: 0, max: 6 }),
  clusterCount: fc.integer({ min: 8, max: 400 }),
  counted: fc.array(fc.nat(399), { maxLength: 300, size: 'max' }),
  missingBlocks: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 }),
});

describe('a claim', () => {
  test('contains the requested clusters and the blocks that count them, and gives each the refcount 1', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyLayout,
        fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 3 }),
        fc.integer({ min: 1, max: 200 }),
        fc.array(fc.nat(399), { maxLength: 60, size: 'max' }),
        async (layout, contiguous, scattered, pointedAt) => {
          const built = await buildImage(layout);
          const inFile = pointedAt.filter((cluster) => cluster < layout.clusterCount);
          const claims = await claim(built, contiguous, scattered, inFile);

          expect(claims.contiguous.map(({ start, end }) => end - start)).toEqual(contiguous);
          expect(clusterCount(claims.scattered)).toBe(scattered);
          const all = clustersOf(claimedRuns(claims));
          expect(new Set(all).size).toBe(all.length);
          const used = new Set([...built.counted, ...inFile]);
          expect(all.filter((cluster) => used.has(cluster))).toEqual([]);

          const released = [...built.counted]
            .filter(
              (cluster) => cluster > 3 + built.refcounts.blockOffsets.filter((offset) => offset > 0).length,
            )
            .slice(0, 9)
            .map((cluster) => clusterRange(cluster, cluster + 1));
          await carryOut(built, claims, released);
        },
      ),
      { numRuns: 150 },
    );
  });

  const layout: Layout = { clusterBits: 9, refcountOrder: 4, clusterCount: 256 };
  /** 64 entries of 64 clusters: the table of one cluster counts 4096. */
  const fullTable: Layout = {
    clusterBits: 9,
    refcountOrder: 6,
    clusterCount: 64 * 64,
    counted: Array.from({ length: 64 * 64 }, (_, index) => index),
  };

  test('needs no new block if the existing ones have space', async () => {
    const claims = await claim(await buildImage(layout), [3], 5);
    expect([claims.newBlocks.size, claims.newTable]).toEqual([0, undefined]);
  });

  test('first adds a block that counts itself if the last block is full', async () => {
    const built = await buildImage({ ...layout, counted: Array.from({ length: 256 }, (_, index) => index) });
    expect(clustersPerRefcountBlock(built.image.header)).toBe(256);
    const claims = await claim(built, [2], 0);
    expect(claims.contiguous).toEqual([{ start: 256, end: 258 }]);
    expect([...claims.newBlocks]).toEqual([[1, 258]]);
    await carryOut(built, claims, []);
  });

  test('moves a full refcount table to a free place, and releases the old one', async () => {
    const built = await buildImage(fullTable);
    const claims = await claim(built, [1], 3);
    expect(claims.newTable).toBeDefined();
    expect(claims.newTable!.end - claims.newTable!.start).toBe(2);
    await carryOut(built, claims, []);
    const { header } = await openImage(built.image.storage);
    expect(header.refcountTableOffset).toBe(claims.newTable!.start * 512);
    expect(header.refcountTableClusters).toBe(2);
  });

  test('switches to a new table by one write within a sector, after the table is stored', async () => {
    const built = await buildImage(fullTable);
    const claims = await claim(built, [1], 0);
    const loaded = await loadBlocks(censusWith(built), [...claimedRuns(claims), tableRun(censusWith(built))]);
    const { claim: first, reveal } = planRefcounts(censusWith(built), loaded, claims, []);
    expect(reveal.map(({ kind }) => kind)).toEqual(['write', 'flush']);
    expect(reveal[0]).toMatchObject({ offset: 48, bytes: expect.objectContaining({ length: 12 }) });
    const place = claims.newTable!.start * 512;
    expect(
      first.some((step) => step.kind === 'write' && step.offset === place && step.bytes.length === 1024),
    ).toBe(true);
  });

  test('writes no refcount of an unchanged cluster', async () => {
    const built = await buildImage({ ...layout, counted: [100, 101] });
    const claims = await claim(built, [], 2);
    const loaded = await loadBlocks(censusWith(built), claimedRuns(claims));
    const { claim: steps, reveal, release } = planRefcounts(censusWith(built), loaded, claims, []);
    expect(steps).toMatchObject([
      { kind: 'write', offset: 3 * 512 + 4 * 2, bytes: Uint8Array.of(0, 1, 0, 1) },
    ]);
    expect([reveal, release]).toEqual([[], []]);
  });
});

describe('a release', () => {
  test('decrements each refcount, but not a refcount of 0', async () => {
    const built = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 64, counted: [40, 41] });
    const block = 3 * 512;
    await built.image.storage.write(block + 41 * 2, Uint8Array.of(1, 0));
    const claims = await claim(built, [], 1);
    const released = [clusterRange(40, 42), clusterRange(50, 51)];
    const loaded = await loadBlocks(censusWith(built), [...claimedRuns(claims), ...released]);
    const { release } = planRefcounts(censusWith(built), loaded, claims, released);
    expect(release).toMatchObject([
      { kind: 'write', offset: block + 40 * 2, bytes: Uint8Array.of(0, 0, 0, 0xff) },
    ]);
  });
});

describe('a new block is added to the table', () => {
  const NO_CLAIMS: Claims = { contiguous: [], scattered: [], newBlocks: new Map(), newTable: undefined };
  const reveal = async (...places: [index: number, cluster: number][]) => {
    const census = censusWith(await buildImage({ clusterBits: 9, refcountOrder: 6, clusterCount: 60 }));
    const claims = {
      ...NO_CLAIMS,
      newBlocks: new Map(places.map(([index, cluster]) => [index, hostCluster(cluster)])),
    };
    const steps = planRefcounts(census, await loadBlocks(census, []), claims, []);
    return steps.reveal.map(({ kind, reason }) => `${kind} ${reason}`);
  };

  test('only after the block that counts it is stored in the table and flushed', async () => {
    expect(await reveal([1, 128], [2, 129], [3, 200])).toEqual([
      'write refcount table entry 2',
      'write refcount table entry 3',
      'flush the refcount table',
      'write refcount table entry 1',
      'flush the refcount table',
    ]);
  });

  test('never if blocks only count each other', async () => {
    await expect(reveal([1, 128], [2, 64])).rejects.toThrow('only count each other');
  });
});

describe('refcount blocks', () => {
  test('are read once, and only if they count clusters of the runs', async () => {
    const { image, refcounts } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 600 });
    const reads: number[] = [];
    const storage = {
      ...image.storage,
      sizeBytes: image.storage.sizeBytes,
      read: (offset: number, into: Uint8Array) => {
        reads.push(offset / 512);
        return image.storage.read(offset, into);
      },
    };
    const load = async (...runs: ClusterRange[]) => {
      reads.length = 0;
      return [...(await loadBlocks(censusWith({ image: { ...image, storage }, refcounts }), runs)).keys()];
    };
    expect(await load(clusterRange(254, 256), clusterRange(9, 10))).toEqual([0]);
    expect(reads).toEqual([3]);
    expect(await load(clusterRange(255, 513))).toEqual([0, 1, 2]);
    expect(await load(clusterRange(768, 769))).toEqual([]);
  });

  test('are listed in a table that covers its clusters', async () => {
    const { image, refcounts } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 60 });
    expect(tableRun(censusWith({ image, refcounts }))).toEqual({ start: 1, end: 2 });
    const wide = { blockOffsets: new Float64Array(3 * 64) };
    expect(tableRun(censusWith({ image, refcounts: wide }))).toEqual({ start: 1, end: 4 });
  });
});

test('leaked clusters get the refcount 0 from any value, and clusters without a block stay unchanged', async () => {
  const built = await buildImage({
    clusterBits: 9,
    refcountOrder: 4,
    clusterCount: 400,
    counted: [40, 41],
    missingBlocks: [1],
  });
  const census = censusWith(built);
  await built.image.storage.write(3 * 512 + 41 * 2, Uint8Array.of(0, 7));
  const leaked = [clusterRange(40, 42)];
  const released = [clusterRange(300, 301)];
  const claims: Claims = { contiguous: [], scattered: [], newBlocks: new Map(), newTable: undefined };
  const blocks = await loadBlocks(census, [...leaked, ...released]);
  expect(planRefcounts(census, blocks, claims, released, leaked)).toMatchObject({
    claim: [],
    reveal: [],
    release: [{ kind: 'write', offset: 3 * 512 + 40 * 2, bytes: Uint8Array.of(0, 0, 0, 0) }],
  });
});
