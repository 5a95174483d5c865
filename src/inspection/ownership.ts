/**
 * Whose the clusters of an image are: everything but bitmaps, the bitmaps, and what is claimed twice.
 */
import { divideUp } from '../bytes/align.ts';
import { findBit, getBit, setBit } from '../bytes/bits.ts';
import {
  addRange,
  findOverlap,
  type HostClusters,
  noHostClusters,
  overlapMessage,
} from '../census/host-clusters.ts';
import { addMetadata } from '../census/metadata.ts';
import { hex } from '../format/format-error.ts';
import type { Image } from '../image/image.ts';
import type { L2Reading } from '../image/read-l2-tables.ts';
import type { Refcounts } from '../image/refcount-table.ts';
import type { Problem } from './problem.ts';

interface NamedRange {
  readonly what: string;
  readonly offset: number;
  readonly lengthBytes: number;
}

export interface Ownership {
  /** Everything but bitmaps. */
  readonly referenced: HostClusters;
  /** What bitmaps and their directory point at, or seem to. */
  readonly ofBitmaps: HostClusters;
  /** What a bitmap or the directory points at, and something else as well. */
  readonly contested: HostClusters;
  readonly metadata: readonly NamedRange[];
}

/**
 * Adds to `referenced` what the image's own structures occupy. Where they overlap something, it is a problem to report.
 */
export async function addOwners(
  image: Image,
  referenced: HostClusters,
  refcounts: Refcounts,
  l2Offsets: Float64Array,
  reading: L2Reading,
): Promise<{ ownership: Ownership; problems: Problem[] }> {
  const problems: Problem[] = [];
  const metadata: NamedRange[] = [{ what: 'the header', offset: 0, lengthBytes: 1 }];
  await addMetadata(image, referenced, refcounts, l2Offsets, reading, (what, offset, lengthBytes) => {
    const taken = findOverlap(referenced, image, offset, lengthBytes);
    if (taken !== undefined) {
      problems.push({
        code: 'metadata-overlap',
        severity: 'error',
        message: overlapMessage(image, what, offset, taken),
        hint: 'Take a copy of the image before anything is written to it, then look at it with "qemu-img check".',
        unopenable: false,
        offset: taken * image.header.clusterSizeBytes,
      });
    }
    metadata.push({ what, offset, lengthBytes });
    addRange(referenced, image, offset, lengthBytes);
  });
  return {
    ownership: {
      referenced,
      ofBitmaps: noHostClusters(image),
      contested: noHostClusters(image),
      metadata,
    },
    problems,
  };
}

/** Adds clusters that a bitmap or the directory points at; what they share with anything is contested from now on. */
export function claimForBitmaps(
  { referenced, ofBitmaps, contested }: Ownership,
  clusters: Iterable<number>,
): void {
  for (const cluster of clusters) {
    if (cluster >= ofBitmaps.clusterCount) continue;
    if (getBit(referenced.bits, cluster) || getBit(ofBitmaps.bits, cluster)) setBit(contested.bits, cluster);
    setBit(ofBitmaps.bits, cluster);
  }
}

/** Adds clusters that a broken bitmap might mean: it contests nobody's. */
export function guessForBitmaps({ ofBitmaps }: Ownership, clusters: Iterable<number>): void {
  for (const cluster of clusters) if (cluster < ofBitmaps.clusterCount) setBit(ofBitmaps.bits, cluster);
}

export function isEmpty({ bits, clusterCount }: HostClusters): boolean {
  return findBit(bits, 1, 0, clusterCount) === clusterCount;
}

/** Which of `clusters` are in the set: the first one, and how many. */
export function within(
  { bits, clusterCount }: HostClusters,
  clusters: Iterable<number>,
): FoundClusters | undefined {
  let first: number | undefined;
  let count = 0;
  for (const cluster of clusters) {
    if (cluster >= clusterCount || !getBit(bits, cluster)) continue;
    first ??= cluster;
    count++;
  }
  return first === undefined ? undefined : { first, count };
}

/** Names who else points at a contested cluster. */
export function otherOwner({ header }: Image, { referenced, metadata }: Ownership, cluster: number): string {
  const start = cluster * header.clusterSizeBytes;
  const range = metadata.find(
    ({ offset, lengthBytes }) => offset < start + header.clusterSizeBytes && start < offset + lengthBytes,
  );
  if (range !== undefined) return range.what;
  return getBit(referenced.bits, cluster)
    ? 'the data or tables of the disk or of a snapshot'
    : 'another part of the bitmaps';
}

/** Some clusters of a bitmap or of the directory. */
export interface FoundClusters {
  readonly first: number;
  readonly count: number;
}

export function clustersOfRange({ header }: Image, offset: number, lengthBytes: number): number[] {
  const start = Math.floor(offset / header.clusterSizeBytes);
  const end = divideUp(offset + lengthBytes, header.clusterSizeBytes);
  return Array.from({ length: end - start }, (_, index) => start + index);
}

export function clustersInWords({ header }: Image, { first, count }: FoundClusters): string {
  const place = hex(first * header.clusterSizeBytes);
  return count === 1 ? `1 cluster, at ${place},` : `${count} clusters, the first at ${place},`;
}
