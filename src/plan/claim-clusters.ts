/**
 * Claims the clusters that a change needs. They include new refcount blocks and a larger refcount table.
 */
import { divideUp } from '../bytes/align.ts';
import type { SoundCensus } from '../census/census.ts';
import { type ClusterRange, clusterRange, type HostCluster, hostCluster } from '../format/addresses.ts';
import { clustersPerRefcountBlock, REFCOUNT_TABLE_ENTRY_BYTES } from '../format/refcounts.ts';
import { blockIndexOf } from '../image/refcount-table.ts';
import type { FreeClusters } from './free-clusters.ts';

export interface ClusterNeeds {
  /** Number of clusters of each part that must be contiguous. */
  readonly contiguous: readonly number[];
  /** Number of further clusters. They need not be contiguous. */
  readonly scattered: number;
}

export interface Claims {
  /** In the order of the needs. */
  readonly contiguous: readonly ClusterRange[];
  readonly scattered: readonly ClusterRange[];
  /** The cluster of each refcount block to be added, by block index. */
  readonly newBlocks: ReadonlyMap<number, HostCluster>;
  /** The clusters of the new refcount table, if the table must grow. */
  readonly newTable: ClusterRange | undefined;
}

/** @throws RefusedError when the refcount table cannot grow that far */
export async function claimClusters(
  census: SoundCensus,
  free: FreeClusters,
  needs: ClusterNeeds,
): Promise<Claims> {
  const contiguous: ClusterRange[] = [];
  for (const count of needs.contiguous) contiguous.push(await free.take(count));
  const scattered = await free.takeScattered(needs.scattered);

  const { header } = census.image;
  const perBlock = clustersPerRefcountBlock(header);
  const entriesPerCluster = header.clusterSizeBytes / REFCOUNT_TABLE_ENTRY_BYTES;
  const newBlocks = new Map<number, HostCluster>();
  let newTable: ClusterRange | undefined;
  let uncounted = blocksOf(census, [...contiguous, ...scattered]);
  let capacity = census.refcounts.blockOffsets.length;
  // A new block or table takes clusters, which may need another block. Repeat until every cluster is counted.
  for (;;) {
    const blockIndex = uncounted.find((index) => !newBlocks.has(index));
    if (blockIndex !== undefined) {
      // A block that counts its own cluster is correct as soon as the table names it. Otherwise any cluster
      // is used.
      const range = clusterRange(blockIndex * perBlock, (blockIndex + 1) * perBlock);
      const run = (await free.take(1, range)) ?? (await free.take(1));
      newBlocks.set(blockIndex, run.start);
      uncounted = [...uncounted, ...blocksOf(census, [run])];
      continue;
    }
    const highest = Math.max(-1, ...newBlocks.keys());
    if (highest < capacity) return { contiguous, scattered, newBlocks, newTable };
    newTable = await free.take(divideUp(highest + 1, entriesPerCluster));
    capacity = (newTable.end - newTable.start) * entriesPerCluster;
    uncounted = [...uncounted, ...blocksOf(census, [newTable])];
  }
}

/** Indexes of the missing refcount blocks that would count these runs. */
function blocksOf({ image, refcounts }: SoundCensus, runs: readonly ClusterRange[]): number[] {
  const { blockOffsets } = refcounts;
  const indexes = new Set<number>();
  for (const { start, end } of runs) {
    const last = blockIndexOf(hostCluster(end - 1), image.header);
    for (let index = blockIndexOf(start, image.header); index <= last; index++) {
      if ((blockOffsets[index] ?? 0) === 0) indexes.add(index);
    }
  }
  return [...indexes];
}

/** All claimed clusters, in no order. */
export function claimedRuns({ contiguous, scattered, newBlocks, newTable }: Claims): ClusterRange[] {
  const blocks = [...newBlocks.values()].map((cluster) => clusterRange(cluster, cluster + 1));
  return [...contiguous, ...scattered, ...blocks, ...(newTable === undefined ? [] : [newTable])];
}

export function clusterCount(runs: readonly ClusterRange[]): number {
  return runs.reduce((sum, { start, end }) => sum + end - start, 0);
}
