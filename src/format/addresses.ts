/**
 * Offsets and clusters of an image file and of its disk. They are numbers of different types, so the compiler
 * rejects a mix-up.
 */
import { divideUp } from '../bytes/align.ts';
import type { Brand } from '../bytes/brand.ts';
import type { ByteRange, Span } from '../bytes/range.ts';

/** Bytes from the start of the image file, or of its external data file where there is one. */
export type HostOffset = Brand<number, 'host offset'>;
/** Bytes from the start of the disk. */
export type GuestOffset = Brand<number, 'guest offset'>;
/** The number of a cluster of the image file. */
export type HostCluster = Brand<number, 'host cluster'>;

export type HostRange = ByteRange<HostOffset>;
export type ClusterRange = Span<HostCluster>;

interface ClusterSize {
  readonly clusterSizeBytes: number;
}

export function hostOffset(bytes: number): HostOffset {
  return bytes as HostOffset;
}

export function guestOffset(bytes: number): GuestOffset {
  return bytes as GuestOffset;
}

export function hostCluster(index: number): HostCluster {
  return index as HostCluster;
}

/** Clusters [start, end). */
export function clusterRange(start: number, end: number): ClusterRange {
  return { start: hostCluster(start), end: hostCluster(end) };
}

/** The offset at which a cluster begins. */
export function offsetOf(cluster: HostCluster, { clusterSizeBytes }: ClusterSize): HostOffset {
  return hostOffset(cluster * clusterSizeBytes);
}

/** Every cluster that the range touches. */
export function clustersIn({ offset, length }: HostRange, { clusterSizeBytes }: ClusterSize): ClusterRange {
  return clusterRange(Math.floor(offset / clusterSizeBytes), divideUp(offset + length, clusterSizeBytes));
}

export function* eachCluster({ start, end }: ClusterRange): Generator<HostCluster, undefined> {
  for (let cluster = start; cluster < end; cluster++) yield cluster;
  return undefined;
}
