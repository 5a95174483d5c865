/**
 * A set of host clusters: which places of an image file something points at.
 */
import { divideUp } from '../bytes/align.ts';
import { findBit, setBits } from '../bytes/bits.ts';
import { RefusedError } from '../errors.ts';
import { hex } from '../format/format-error.ts';
import { l2EntriesPerTable, subclustersPerCluster } from '../format/header.ts';
import { kernelArrays } from '../format/l2-kernel.ts';
import { type Image, requireInside } from '../image/image.ts';
import { tableRoomBytes } from '../image/read-l2-tables.ts';
import { shellPath } from '../text/shell-word.ts';

/** What the scan of L2 tables can number; at 64 KiB clusters this is a file of 128 TiB. */
const MAX_CLUSTERS = 2 ** 31;

export interface HostClusters {
  /** Clusters that the file has, the last one perhaps in part. */
  readonly clusterCount: number;
  readonly bits: Uint8Array;
  /** Beside `bits`, for those who add what L2 tables name: room for tables, and for what one of them holds. */
  readonly tables: Uint8Array;
  readonly units: Uint8Array;
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
  const [bits, tables, units] = kernelArrays(
    divideUp(clusterCount, 8),
    tableRoomBytes(header),
    (l2EntriesPerTable(header) * subclustersPerCluster(header)) / 8,
  );
  return { clusterCount, bits: bits!, tables: tables!, units: units! };
}

/** Adds every cluster that the range touches; what lies beyond the end of the file is left out. */
export function addRange(set: HostClusters, image: Image, offset: number, lengthBytes: number): void {
  const { clusterSizeBytes } = image.header;
  const start = Math.floor(offset / clusterSizeBytes);
  const end = Math.min(divideUp(offset + lengthBytes, clusterSizeBytes), set.clusterCount);
  setBits(set.bits, start, end);
}

/** The first cluster of the range that is in the set already. */
export function findOverlap(
  set: HostClusters,
  image: Image,
  offset: number,
  lengthBytes: number,
): number | undefined {
  const { clusterSizeBytes } = image.header;
  const start = Math.floor(offset / clusterSizeBytes);
  const end = Math.min(divideUp(offset + lengthBytes, clusterSizeBytes), set.clusterCount);
  const taken = findBit(set.bits, 1, start, end);
  return taken < end ? taken : undefined;
}

/**
 * Adds a range that must be nobody else's, because it is about to be relied upon or written.
 *
 * @param what names it in the message
 * @throws RefusedError when something that was added before lies in it, or it reaches beyond the end of the file,
 * where new clusters are claimed
 */
export function addOwnRange(
  set: HostClusters,
  image: Image,
  what: string,
  offset: number,
  lengthBytes: number,
): void {
  requireInside(image.storage, what, offset, lengthBytes);
  const taken = findOverlap(set, image, offset, lengthBytes);
  if (taken !== undefined) throw needsCheck(image, overlapMessage(image, what, offset, taken));
  addRange(set, image, offset, lengthBytes);
}

export function overlapMessage({ header }: Image, what: string, offset: number, taken: number): string {
  return `${what} at ${hex(offset)} overlaps something else in the image at ${hex(taken * header.clusterSizeBytes)}`;
}

/** For structures that lie where something else is. */
export function needsCheck({ storage: { name } }: Image, what: string): RefusedError {
  return new RefusedError('NEEDS_CHECK', `${name}: ${what}`, {
    hint: `Take a copy of the image, then look at it with "qemu-img check ${shellPath(name)}".`,
    context: { file: name },
  });
}
