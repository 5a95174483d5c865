/**
 * A set of host clusters that something in the image points at.
 */
import { divideUp } from '../bytes/align.ts';
import { findBit, newBits, type ReadonlyBits, setBits } from '../bytes/bits.ts';
import { RefusedError } from '../errors.ts';
import { clustersIn, type HostCluster, type HostRange, hostCluster, offsetOf } from '../format/addresses.ts';
import { hex } from '../format/format-error.ts';
import type { Header } from '../format/header.ts';
import type { Image } from './image.ts';

/** The limit of the L2 table scan. With 64 KiB clusters, this is a file of 128 TiB. */
const MAX_CLUSTERS = 2 ** 31;

/** A complete set. */
export interface HostClusters {
  /** Number of clusters in the file. The last one may be partial. */
  readonly clusterCount: number;
  readonly bits: ReadonlyBits;
}

/** A set that is still being filled. */
export interface GrowingHostClusters extends HostClusters {
  readonly bits: Uint8Array;
}

/** An empty set for the file of `image`. Only the parts in use cost memory. */
export function noHostClusters(image: Image): GrowingHostClusters {
  const clusterCount = fileClusterCount(image);
  return { clusterCount, bits: newBits(clusterCount) };
}

/** @throws RefusedError when the file has more clusters than the scan of L2 tables can number */
export function fileClusterCount({ storage, header }: Image): number {
  const clusterCount = divideUp(storage.sizeBytes, header.clusterSizeBytes);
  if (clusterCount <= MAX_CLUSTERS) return clusterCount;
  throw new RefusedError(
    'UNSUPPORTED',
    `${storage.name}: the file has ${clusterCount} clusters, this tool handles at most ${MAX_CLUSTERS}`,
    { context: { file: storage.name } },
  );
}

/** Adds every cluster that the range touches, except clusters beyond the end of the file. */
export function addRange(
  { bits, clusterCount }: GrowingHostClusters,
  range: HostRange,
  header: Header,
): void {
  const { start, end } = clustersIn(range, header);
  setBits(bits, start, Math.min(end, clusterCount));
}

/** The first cluster of the range that is in the set already. */
export function findOverlap(
  { bits, clusterCount }: HostClusters,
  range: HostRange,
  header: Header,
): HostCluster | undefined {
  const { start, end } = clustersIn(range, header);
  const inside = Math.min(end, clusterCount);
  const taken = findBit(bits, 1, start, inside);
  return taken < inside ? hostCluster(taken) : undefined;
}

export function overlapMessage(
  { header }: Image,
  what: string,
  { offset }: HostRange,
  taken: HostCluster,
): string {
  return `${what} at ${hex(offset)} overlaps something else in the image at ${hex(offsetOf(taken, header))}`;
}

/** The error for structures that overlap something else. */
export function needsCheck({ storage: { name } }: Image, what: string): RefusedError {
  return new RefusedError('NEEDS_CHECK', `${name}: ${what}`, {
    remedy: { kind: 'check', file: name, copyFirst: true },
    context: { file: name },
  });
}
