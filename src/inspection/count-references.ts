/**
 * Counts what the refcounts of an image have too many and too few.
 */
import { countBits, findBit, getBit, runsOfOnes, setBits } from '../bytes/bits.ts';
import type { BitmapClusters } from '../census/bitmap-clusters.ts';
import type { Census } from '../census/census.ts';
import { compareRefcounts } from '../census/compare-refcounts.ts';
import { hex } from '../format/format-error.ts';
import { type HostClusters, noHostClusters } from '../image/host-clusters.ts';
import { whatQemuWrites } from '../image/image.ts';
import type { L2Reading } from '../image/read-l2-tables.ts';
import type { Problem } from './problem.ts';

export interface ReferenceCounts {
  readonly leakedClusters: number;
  readonly firstLeak: number | undefined;
  /** Clusters that anything points at, with refcount 0. */
  readonly uncounted: HostClusters;
}

export async function countReferences(
  census: Census,
  { ofBitmaps }: BitmapClusters,
  reading: L2Reading,
): Promise<ReferenceCounts> {
  const uncounted = noHostClusters(census.image);
  let leakedClusters = 0;
  let firstLeak: number | undefined;
  await compareRefcounts(
    census,
    ofBitmaps,
    (difference) => {
      const { start, count } = difference;
      leakedClusters += countBits(difference.leaked);
      const first = findBit(difference.leaked, 1, 0, count);
      if (first < count && start + first < (firstLeak ?? Number.POSITIVE_INFINITY)) firstLeak = start + first;
      for (const run of runsOfOnes(difference.uncounted, 0, count)) {
        setBits(uncounted.bits, start + run.start, start + run.end);
      }
    },
    reading,
  );
  return { leakedClusters, firstLeak, uncounted };
}

/** Clusters of anything but bitmaps that are not counted: the first one, and how many. */
export function uncountedElsewhere(
  { uncounted }: ReferenceCounts,
  { ofImage }: Census,
): { first: number | undefined; count: number } {
  let first: number | undefined;
  let count = 0;
  for (const { start, end } of runsOfOnes(uncounted.bits, 0, uncounted.clusterCount)) {
    for (let cluster = start; cluster < end; cluster++) {
      if (!getBit(ofImage.bits, cluster)) continue;
      first ??= cluster;
      count++;
    }
  }
  return { first, count };
}

export function refcountProblems(census: Census, counts: ReferenceCounts): Problem[] {
  const { image } = census;
  const { clusterSizeBytes } = image.header;
  const problems: Problem[] = [];
  const { first, count } = uncountedElsewhere(counts, census);
  if (first !== undefined) {
    problems.push({
      code: 'refcount-too-low',
      severity: 'error',
      message: `${count} clusters, the first at ${hex(first * clusterSizeBytes)}, are in use and have refcount 0: QEMU would give them away`,
      remedy: { kind: 'check-and-repair', ...whatQemuWrites(image) },
      unopenable: false,
      offset: first * clusterSizeBytes,
      clusters: count,
    });
  }
  const { leakedClusters, firstLeak } = counts;
  if (firstLeak !== undefined) {
    const bytes = leakedClusters * clusterSizeBytes;
    problems.push({
      code: 'leaked-clusters',
      severity: 'warning',
      message: `${leakedClusters} clusters (${bytes} bytes), the first at ${hex(firstLeak * clusterSizeBytes)}, are counted though nothing points at them`,
      remedy: { kind: 'free-leaks', ...whatQemuWrites(image) },
      unopenable: false,
      offset: firstLeak * clusterSizeBytes,
      clusters: leakedClusters,
      bytes,
    });
  }
  return problems;
}
