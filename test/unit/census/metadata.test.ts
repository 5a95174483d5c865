/** The references of sound images are exactly the clusters that QEMU counted. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { getBit } from '../../../src/bytes/bits.ts';
import { censusOf } from '../../../src/census/census.ts';
import { hostCluster } from '../../../src/format/addresses.ts';
import { addRange, noHostClusters } from '../../../src/image/host-clusters.ts';
import { openImage } from '../../../src/image/image.ts';
import { blockIndexOf, readRefcountBlock, refcountIn } from '../../../src/image/refcount-table.ts';
import { bitmapRanges, readBitmapDirectory, readBitmapTable } from '../../../src/image/stored-bitmaps.ts';
import { memoryStorage } from '../../support/memory.ts';
import { caseNamed, cases, fileName } from '../golden/cases.ts';

/** Clusters that something points at, and clusters that the image itself counts; both without those past the file. */
async function clustersOf(path: string): Promise<{ pointedAt: number[]; counted: number[] }> {
  const image = await openImage(memoryStorage(await readFile(path), { name: path }));
  const { ofImage, refcounts } = await censusOf(image);
  const ofBitmaps = noHostClusters(image);
  if (image.bitmaps.kind === 'live') {
    const { offset, sizeBytes } = image.bitmaps.directory;
    addRange(ofBitmaps, { offset, length: sizeBytes }, image.header);
  }
  for (const entry of await readBitmapDirectory(image)) {
    for (const range of bitmapRanges(image, entry, await readBitmapTable(image, entry))) {
      addRange(ofBitmaps, range, image.header);
    }
  }
  const pointedAt: number[] = [];
  const counted: number[] = [];
  for (let cluster = hostCluster(0); cluster < ofImage.clusterCount; cluster++) {
    if (getBit(ofImage.bits, cluster) || getBit(ofBitmaps.bits, cluster)) pointedAt.push(cluster);
    const block = await readRefcountBlock(image, refcounts, blockIndexOf(cluster, image.header));
    if (block !== undefined && refcountIn(block, cluster, image.header) > 0n) counted.push(cluster);
  }
  return { pointedAt, counted };
}

/** Their refcounts are stale, or clusters have leaked: see the notes next to the images. */
const unclean = new Set(['lazy-refcounts-killed', 'bitmap-autoclear-cleared']);

describe.each(cases.filter(({ name }) => !unclean.has(name)))('$name', ({ folder, info }) => {
  test('the counted clusters are exactly those with a reference', async () => {
    for (const image of info.filter(({ format }) => format === 'qcow2')) {
      const { pointedAt, counted } = await clustersOf(join(folder, fileName(image)));
      expect(pointedAt).toEqual(counted);
    }
  });
});

test('the references are known even if the refcounts are too low', async () => {
  const { pointedAt, counted } = await clustersOf(
    join(caseNamed('lazy-refcounts-killed').folder, 'disk.qcow2'),
  );
  const uncounted = pointedAt.filter((cluster) => !counted.includes(cluster));
  expect(uncounted.length).toBeGreaterThan(0);
});

test('the clusters of disowned bitmaps are counted and have no reference', async () => {
  const { pointedAt, counted } = await clustersOf(
    join(caseNamed('bitmap-autoclear-cleared').folder, 'disk.qcow2'),
  );
  const leaked = counted.filter((cluster) => !pointedAt.includes(cluster));
  expect(leaked.length).toBeGreaterThan(0);
  expect(pointedAt.filter((cluster) => !counted.includes(cluster))).toEqual([]);
});
