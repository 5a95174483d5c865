/**
 * A set of host clusters: which places of an image file something points at.
 */
import { divideUp } from '../bytes/align.ts';
import { newBits, setBits } from '../bytes/bits.ts';
import { RefusedError } from '../errors.ts';
import type { Image } from './image.ts';

/** What the scan of L2 tables can number; at 64 KiB clusters this is a file of 128 TiB. */
const MAX_CLUSTERS = 2 ** 31;

export interface HostClusters {
  /** Clusters that the file has, the last one perhaps in part. */
  readonly clusterCount: number;
  readonly bits: Uint8Array;
}

/** An empty set over the file of `image`; it costs memory only where something is put in. */
export function noHostClusters({ storage, header }: Image): HostClusters {
  const clusterCount = divideUp(storage.sizeBytes, header.clusterSizeBytes);
  if (clusterCount > MAX_CLUSTERS) {
    throw new RefusedError(
      'UNSUPPORTED',
      `${storage.name}: the file has ${clusterCount} clusters, this tool handles at most ${MAX_CLUSTERS}`,
      { context: { file: storage.name } },
    );
  }
  return { clusterCount, bits: newBits(clusterCount) };
}

/** Adds every cluster that the range touches; what lies beyond the end of the file is left out. */
export function addRange(set: HostClusters, image: Image, offset: number, lengthBytes: number): void {
  const { clusterSizeBytes } = image.header;
  const start = Math.floor(offset / clusterSizeBytes);
  const end = Math.min(divideUp(offset + lengthBytes, clusterSizeBytes), set.clusterCount);
  setBits(set.bits, start, end);
}
