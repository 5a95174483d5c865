/**
 * Refcounts of an image. The table is read at once, and each block on request.
 */
import { type HostCluster, hostOffset } from '../format/addresses.ts';
import type { Header } from '../format/header.ts';
import {
  clustersPerRefcountBlock,
  decodeRefcountTable,
  readRefcount,
  writeRefcount,
} from '../format/refcounts.ts';
import { type Image, naming, readInside } from './image.ts';

export interface Refcounts {
  /** Offset of each refcount block in bytes, 0 where there is none. */
  readonly blockOffsets: Float64Array;
}

export async function readRefcountTable(image: Image): Promise<Refcounts> {
  const { refcountTableOffset, refcountTableClusters, clusterSizeBytes } = image.header;
  const lengthBytes = refcountTableClusters * clusterSizeBytes;
  const bytes = await readInside(image, 'the refcount table', refcountTableOffset, lengthBytes);
  return { blockOffsets: naming(image.storage, () => decodeRefcountTable(bytes, image.header)) };
}

/**
 * @returns the block that counts clusters `blockIndex * clustersPerRefcountBlock …`, or undefined if all are
 * free
 */
export async function readRefcountBlock(
  image: Image,
  { blockOffsets }: Refcounts,
  blockIndex: number,
): Promise<Uint8Array | undefined> {
  const offset = blockOffsets[blockIndex] ?? 0;
  if (offset === 0) return undefined;
  return readInside(image, `refcount block ${blockIndex}`, hostOffset(offset), image.header.clusterSizeBytes);
}

export function blockIndexOf(cluster: HostCluster, header: Header): number {
  return Math.floor(cluster / clustersPerRefcountBlock(header));
}

/** The refcount of `cluster` in the block that counts it. */
export function refcountIn(block: Uint8Array, cluster: HostCluster, header: Header): bigint {
  return readRefcount(block, cluster % clustersPerRefcountBlock(header), header.refcountOrder);
}

export function setRefcountIn(block: Uint8Array, cluster: HostCluster, header: Header, value: bigint): void {
  writeRefcount(block, cluster % clustersPerRefcountBlock(header), header.refcountOrder, value);
}
