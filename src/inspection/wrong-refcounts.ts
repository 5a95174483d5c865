/**
 * Finds the clusters of an image with a refcount that is too high or too low.
 */
import { findBit, getBit, runsOfOnes, setBits } from '../bytes/bits.ts';
import { countBits } from '../bytes/count-bits.ts';
import { type BitmapClusters, clustersInWords } from '../census/bitmap-clusters.ts';
import type { Census } from '../census/census.ts';
import { compareRefcounts } from '../census/compare-refcounts.ts';
import { clusterRange, eachCluster, type HostCluster, hostCluster, offsetOf } from '../format/addresses.ts';
import { hex } from '../format/format-error.ts';
import { type HostClusters, noHostClusters } from '../image/host-clusters.ts';
import { whatQemuWrites } from '../image/image.ts';
import type { TableReading } from '../image/read-tables.ts';
import type { Problem } from './problem.ts';

export interface WrongRefcounts {
  readonly leakedClusters: number;
  readonly firstLeak: HostCluster | undefined;
  /** Clusters with a reference and refcount 0. */
  readonly uncounted: HostClusters;
}

export async function findWrongRefcounts(
  census: Census,
  { ofBitmaps }: BitmapClusters,
  reading: TableReading,
): Promise<WrongRefcounts> {
  const uncounted = noHostClusters(census.image);
  let leakedClusters = 0;
  let firstLeak: HostCluster | undefined;
  await compareRefcounts(
    census,
    ofBitmaps,
    (difference) => {
      const { start, end } = difference;
      const count = end - start;
      leakedClusters += countBits(difference.leaked);
      const first = findBit(difference.leaked, 1, 0, count);
      if (first < count && start + first < (firstLeak ?? Number.POSITIVE_INFINITY)) {
        firstLeak = hostCluster(start + first);
      }
      for (const run of runsOfOnes(difference.uncounted, 0, count)) {
        setBits(uncounted.bits, start + run.start, start + run.end);
      }
    },
    reading,
  );
  return { leakedClusters, firstLeak, uncounted };
}

/** The first cluster outside bitmaps that has a reference but refcount 0, and the number of such clusters. */
export function uncountedElsewhere(
  { uncounted }: WrongRefcounts,
  { ofImage }: Census,
): { first: HostCluster | undefined; count: number } {
  let first: HostCluster | undefined;
  let count = 0;
  for (const { start, end } of runsOfOnes(uncounted.bits, 0, uncounted.clusterCount)) {
    for (const cluster of eachCluster(clusterRange(start, end))) {
      if (!getBit(ofImage.bits, cluster)) continue;
      first ??= cluster;
      count++;
    }
  }
  return { first, count };
}

export function refcountProblems(census: Census, wrong: WrongRefcounts): Problem[] {
  const { image } = census;
  const { clusterSizeBytes } = image.header;
  const problems: Problem[] = [];
  const { first, count } = uncountedElsewhere(wrong, census);
  if (first !== undefined) {
    problems.push({
      code: 'refcount-too-low',
      severity: 'error',
      message: `${clustersInWords(image, { first, count })} ${count === 1 ? 'is in use and has' : 'are in use and have'} refcount 0: QEMU would allocate ${count === 1 ? 'it' : 'them'} again`,
      remedy: { kind: 'check-and-repair', ...whatQemuWrites(image) },
      unopenable: false,
      offset: offsetOf(first, image.header),
      clusters: count,
    });
  }
  const { leakedClusters, firstLeak } = wrong;
  if (firstLeak !== undefined) {
    const bytes = leakedClusters * clusterSizeBytes;
    const first = hex(offsetOf(firstLeak, image.header));
    problems.push({
      code: 'leaked-clusters',
      severity: 'warning',
      message:
        leakedClusters === 1
          ? `1 cluster (${bytes} bytes), at ${first}, is counted although nothing points at it`
          : `${leakedClusters} clusters (${bytes} bytes), the first at ${first}, are counted although nothing points at them`,
      remedy: { kind: 'free-leaks', ...whatQemuWrites(image) },
      unopenable: false,
      offset: offsetOf(firstLeak, image.header),
      clusters: leakedClusters,
      bytes,
    });
  }
  return problems;
}
