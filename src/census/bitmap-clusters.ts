/**
 * Finds the host clusters that the bitmaps of an image and their directory point at. It also finds those that
 * something else points at too.
 */
import { findBit, getBit, setBit } from '../bytes/bits.ts';
import { type HostCluster, offsetOf } from '../format/addresses.ts';
import { hex } from '../format/format-error.ts';
import { type HostClusters, noHostClusters } from '../image/host-clusters.ts';
import type { Image } from '../image/image.ts';
import type { Census } from './census.ts';

export interface BitmapClusters {
  /** Clusters that bitmaps and their directory point at, or may point at. */
  readonly ofBitmaps: HostClusters;
  /** Clusters that a bitmap or the directory points at, and something else as well. */
  readonly contested: HostClusters;
}

type ClusterLists = AsyncIterable<Iterable<HostCluster>> | Iterable<Iterable<HostCluster>>;

/**
 * @param certain lists of clusters, one for each bitmap and one for the directory. A cluster in two lists, or
 * in a list and in the image itself, is contested.
 * @param guessed clusters that broken bitmaps might use. They do not count as a conflict.
 */
export async function collectBitmapClusters(
  { image, ofImage }: Census,
  certain: ClusterLists,
  guessed: ClusterLists,
): Promise<BitmapClusters> {
  const ofBitmaps = noHostClusters(image);
  const contested = noHostClusters(image);
  for await (const clusters of certain) {
    for (const cluster of clusters) {
      if (cluster >= ofBitmaps.clusterCount) continue;
      if (getBit(ofImage.bits, cluster) || getBit(ofBitmaps.bits, cluster)) setBit(contested.bits, cluster);
      setBit(ofBitmaps.bits, cluster);
    }
  }
  for await (const clusters of guessed) {
    for (const cluster of clusters) {
      if (cluster < ofBitmaps.clusterCount) setBit(ofBitmaps.bits, cluster);
    }
  }
  return { ofBitmaps, contested };
}

export function isEmpty({ bits, clusterCount }: HostClusters): boolean {
  return findBit(bits, 1, 0, clusterCount) === clusterCount;
}

/** The first of `clusters` that is in the set, and the number of those in the set. */
export function findIn(
  { bits, clusterCount }: HostClusters,
  clusters: Iterable<HostCluster>,
): FoundClusters | undefined {
  let first: HostCluster | undefined;
  let count = 0;
  for (const cluster of clusters) {
    if (cluster >= clusterCount || !getBit(bits, cluster)) continue;
    first ??= cluster;
    count++;
  }
  return first === undefined ? undefined : { first, count };
}

/** Names the other owner of a contested cluster. */
export function otherOwner({ image, refcounts, ofImage, structures }: Census, cluster: HostCluster): string {
  const { clusterSizeBytes } = image.header;
  const start = offsetOf(cluster, image.header);
  if (start === 0) return 'the header';
  const structure = structures.find(
    ({ offset, length }) => offset < start + clusterSizeBytes && start < offset + length,
  );
  if (structure !== undefined) return structure.what;
  const blockIndex = refcounts.blockOffsets.indexOf(start);
  if (blockIndex >= 0) return `refcount block ${blockIndex}`;
  return getBit(ofImage.bits, cluster)
    ? 'the data or tables of the disk or of a snapshot'
    : 'another part of the bitmaps';
}

/** Some clusters of a bitmap or of the directory. */
export interface FoundClusters {
  readonly first: HostCluster;
  readonly count: number;
}

export function clustersInWords({ header }: Image, { first, count }: FoundClusters): string {
  const place = hex(offsetOf(first, header));
  return count === 1 ? `1 cluster, at ${place},` : `${count} clusters, the first at ${place},`;
}
