/** Refcounts are read from the block of a cluster. Without a block all its clusters are free. */
import { expect, test } from 'vitest';
import { hostCluster, hostOffset } from '../../../src/format/addresses.ts';
import {
  blockIndexOf,
  readRefcountBlock,
  readRefcountTable,
  refcountIn,
  setRefcountIn,
} from '../../../src/image/refcount-table.ts';
import { buildImage } from './built-image.ts';

const layout = { clusterBits: 9, refcountOrder: 4, clusterCount: 600, missingBlocks: [1] };

test('the table has as many entries as its clusters hold, and 0 for a missing block', async () => {
  const { refcounts } = await buildImage(layout);
  expect(refcounts.blockOffsets).toHaveLength(64);
  expect([...refcounts.blockOffsets.slice(0, 4)]).toEqual([3 * 512, 0, 4 * 512, 0]);
});

test('a table or a block beyond the end of the file is refused', async () => {
  const { image } = await buildImage(layout);
  const moved = { ...image, header: { ...image.header, refcountTableOffset: hostOffset(600 * 512) } };
  await expect(readRefcountTable(moved)).rejects.toThrow(/the refcount table at .* beyond the end/);
  const wide = { ...image, header: { ...image.header, refcountTableClusters: 600 } };
  await expect(readRefcountTable(wide)).rejects.toThrow(/the refcount table at .* beyond the end/);
  const blockOffsets = Float64Array.of(600 * 512);
  await expect(readRefcountBlock(image, { blockOffsets }, 0)).rejects.toThrow(/refcount block 0 at /);
});

test('a cluster is counted by the block at its index', async () => {
  const { image, refcounts } = await buildImage({ ...layout, counted: [515] });
  const { header } = image;
  expect([0, 255, 256, 515].map(hostCluster).map((cluster) => blockIndexOf(cluster, header))).toEqual([
    0, 0, 1, 2,
  ]);
  const block = (await readRefcountBlock(image, refcounts, 2))!;
  expect([512, 515, 516].map(hostCluster).map((cluster) => refcountIn(block, cluster, header))).toEqual([
    0n,
    1n,
    0n,
  ]);
  setRefcountIn(block, hostCluster(516), header, 7n);
  expect([515, 516, 517].map(hostCluster).map((cluster) => refcountIn(block, cluster, header))).toEqual([
    1n,
    7n,
    0n,
  ]);
  for (const index of [1, 3, 64, 1000])
    expect(await readRefcountBlock(image, refcounts, index)).toBeUndefined();
});
