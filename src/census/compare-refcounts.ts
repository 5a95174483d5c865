/**
 * Compares the refcounts of a whole image with its references. It finds leaked clusters, and referenced
 * clusters with refcount 0.
 */
import { newBits } from '../bytes/bits.ts';
import { type ClusterRange, clusterRange, hostOffset } from '../format/addresses.ts';
import { clustersPerRefcountBlock, markCounted } from '../format/refcounts.ts';
import { visitOffsets } from '../format/table-entries.ts';
import type { HostClusters } from '../image/host-clusters.ts';
import { requireInside } from '../image/image.ts';
import { type TableReading, tableRoomBytes, visitTables } from '../image/read-tables.ts';
import type { Census } from './census.ts';

/** The clusters that one refcount block counts, with one bit for each. */
export interface RefcountDifference extends ClusterRange {
  /** Clusters with a refcount above 0 that nothing points at. */
  readonly leaked: Uint8Array;
  /** Clusters with refcount 0 that something points at. */
  readonly uncounted: Uint8Array;
}

/**
 * Reads every refcount block once. It does not distinguish refcounts of 1 and more.
 *
 * @param ofBitmaps every cluster that a bitmap or the directory points at
 * @param visit called for each block with a difference, in no particular order. The difference is valid only
 * during the call.
 * @throws RefusedError when a refcount block reaches beyond the end of the file
 */
export async function compareRefcounts(
  { image, refcounts, ofImage }: Census,
  ofBitmaps: HostClusters,
  visit: (difference: RefcountDifference) => void,
  { signal }: Pick<TableReading, 'signal'> = {},
): Promise<void> {
  const { header, storage } = image;
  const { clusterSizeBytes } = header;
  const { blockOffsets } = refcounts;
  const sets = [ofImage, ofBitmaps];
  const count = clustersPerRefcountBlock(header);
  const pointedAt = newBits(count);
  const counted = newBits(count);
  const leaked = newBits(count);
  const uncounted = newBits(count);
  const compare = (blockIndex: number): void => {
    const start = blockIndex * count;
    pointedAt.fill(0);
    for (const { bits } of sets) {
      const part = bits.subarray(start / 8, (start + count) / 8);
      for (let byte = 0; byte < part.length; byte++) pointedAt[byte]! |= part[byte]!;
    }
    let differs = 0;
    for (let byte = 0; byte < pointedAt.length; byte++) differs |= pointedAt[byte]! ^ counted[byte]!;
    if (differs === 0) return;
    for (let byte = 0; byte < pointedAt.length; byte++) {
      leaked[byte] = counted[byte]! & ~pointedAt[byte]!;
      uncounted[byte] = pointedAt[byte]! & ~counted[byte]!;
    }
    visit({ ...clusterRange(start, start + count), leaked, uncounted });
  };

  let blocks = 0;
  visitOffsets(blockOffsets, (index, offset) => {
    const range = { offset: hostOffset(offset), length: clusterSizeBytes };
    requireInside(storage, () => `refcount block ${index}`, range);
    blocks++;
  });
  // Refcount blocks are read like L2 tables: each is one cluster, and they lie all over the file.
  await visitTables(
    image,
    blockOffsets,
    new Uint8Array(tableRoomBytes(image, blocks)),
    (first, adjacent) => {
      for (let at = 0; at < adjacent.length; at += clusterSizeBytes) {
        markCounted(adjacent.subarray(at, at + clusterSizeBytes), header.refcountOrder, counted);
        compare(first + at / clusterSizeBytes);
      }
    },
    { signal },
  );
  counted.fill(0);
  for (let index = 0; index * count < ofImage.clusterCount; index++) {
    if ((blockOffsets[index] ?? 0) === 0) compare(index);
  }
}
