/**
 * The granularity of new bitmaps, and QEMU's limits on it.
 */
import { isPowerOfTwo } from '../bytes/align.ts';
import { RefusedError, UsageError } from '../errors.ts';
import {
  bitmapBytes,
  MAX_BITMAP_BYTES,
  MAX_GRANULARITY_BITS,
  MIN_GRANULARITY_BITS,
} from '../format/bitmap-directory.ts';
import { type Header, subclusterSizeBytes } from '../format/header.ts';
import type { Image } from '../image/image.ts';
import { counted } from '../text/counted.ts';

/** QEMU's bdrv_get_default_bitmap_granularity: the cluster size, clamped to 4 KiB to 64 KiB. */
export function defaultGranularityBits({ clusterBits }: Header): number {
  return Math.min(Math.max(clusterBits, 12), 16);
}

/** Whether QEMU can store a bitmap for a disk of this size. */
export function isStorable(virtualSizeBytes: number, granularityBits: number): boolean {
  return bitmapBytes(virtualSizeBytes, granularityBits) <= MAX_BITMAP_BYTES;
}

/** The default granularity, or the next coarser one that QEMU can store. */
export function storableGranularityBits(header: Header): number {
  let bits = defaultGranularityBits(header);
  while (!isStorable(header.virtualSizeBytes, bits)) bits++;
  return bits;
}

/**
 * The finest useful granularity: one bit for each cluster or subcluster. It is coarser if QEMU could not
 * store the bitmap.
 */
export function ownGranularityBits(header: Header): number {
  let bits = Math.max(MIN_GRANULARITY_BITS, Math.log2(subclusterSizeBytes(header)));
  while (!isStorable(header.virtualSizeBytes, bits)) bits++;
  return bits;
}

/** @throws UsageError unless `bytes` is a power of two from 512 to 2 GiB */
export function granularityBitsOf(bytes: number): number {
  const bits = Math.log2(bytes);
  if (!isPowerOfTwo(bytes) || bits < MIN_GRANULARITY_BITS || bits > MAX_GRANULARITY_BITS) {
    throw new UsageError(`granularity is ${bytes} bytes, must be a power of two from 512 to 2G`);
  }
  return bits;
}

/**
 * QEMU's check_constraints_on_bitmap: QEMU can read a larger bitmap but fails to store it again.
 *
 * @throws RefusedError with the smallest granularity that fits
 */
export function requireStorableSize({ storage, header }: Image, granularityBits: number): void {
  const { virtualSizeBytes } = header;
  if (virtualSizeBytes === 0) {
    throw new RefusedError('BITMAP_LIMIT', `${storage.name}: a disk of 0 bytes cannot have a bitmap`, {
      context: { file: storage.name },
    });
  }
  const lengthBytes = bitmapBytes(virtualSizeBytes, granularityBits);
  if (lengthBytes <= MAX_BITMAP_BYTES) return;
  let fitting = granularityBits;
  while (!isStorable(virtualSizeBytes, fitting)) fitting++;
  throw new RefusedError(
    'BITMAP_LIMIT',
    `${storage.name}: at a granularity of ${2 ** granularityBits} a bitmap of this disk takes ${lengthBytes} bytes, QEMU allows ${MAX_BITMAP_BYTES}`,
    { remedy: { kind: 'coarsen-granularity', leastBytes: 2 ** fitting }, context: { file: storage.name } },
  );
}

/** The memory limit for all bitmaps that one change stores: two of QEMU's largest. */
const MAX_BITMAP_MEMORY_BYTES = 2 * MAX_BITMAP_BYTES;

/** @throws RefusedError when `count` bitmaps with `bytes` in total exceed the memory limit */
export function requireBitmapMemory({ storage }: Image, count: number, bytes: number): void {
  if (bytes <= MAX_BITMAP_MEMORY_BYTES) return;
  throw new RefusedError(
    'BITMAP_LIMIT',
    `${storage.name}: ${counted(count, 'bitmap')} would take ${bytes} bytes of memory, one change may take ${MAX_BITMAP_MEMORY_BYTES}`,
    {
      remedy: { kind: 'use-fewer-bitmaps' },
      context: { file: storage.name },
    },
  );
}
