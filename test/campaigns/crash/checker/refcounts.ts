/** Compares the stored refcounts of an image with the references to its clusters. */
import { hex, u8, u16, u32, u64 } from './bytes.ts';
import type { ImageHeader } from './header.ts';
import type { References } from './references.ts';

export class StoredRefcounts {
  readonly #image: Uint8Array;
  readonly #header: ImageHeader;
  readonly blockOffsets: number[] = [];

  constructor(image: Uint8Array, header: ImageHeader) {
    this.#image = image;
    this.#header = header;
    const { offset, clusterCount } = header.refcountTable;
    const entryCount = (clusterCount * header.clusterBytes) / 8;
    for (let index = 0; index < entryCount; index++) this.blockOffsets.push(u64(image, offset + index * 8));
  }

  get clustersPerBlock(): number {
    return (this.#header.clusterBytes * 8) / this.#header.refcountBits;
  }

  of(cluster: number): number {
    const block = this.blockOffsets[Math.floor(cluster / this.clustersPerBlock)] ?? 0;
    if (block === 0) return 0;
    const bit = (cluster % this.clustersPerBlock) * this.#header.refcountBits;
    const at = block + Math.floor(bit / 8);
    switch (this.#header.refcountBits) {
      case 64:
        return u64(this.#image, at);
      case 32:
        return u32(this.#image, at);
      case 16:
        return u16(this.#image, at);
      case 8:
        return u8(this.#image, at);
      default:
        return (u8(this.#image, at) >> (bit % 8)) & (2 ** this.#header.refcountBits - 1);
    }
  }
}

export interface RefcountFindings {
  errors: string[];
  /** Clusters of the file that are counted more often than anything points at them. */
  leaks: number[];
}

/** To be called once everything else is in `references`. */
export function checkRefcounts(
  { clusterBytes, refcountTable }: ImageHeader,
  refcounts: StoredRefcounts,
  references: References,
): RefcountFindings {
  const errors: string[] = [];
  references.add('refcount table', refcountTable.offset, refcountTable.clusterCount * clusterBytes);
  for (const [index, offset] of refcounts.blockOffsets.entries()) {
    if (offset === 0) continue;
    if (offset % clusterBytes !== 0) errors.push(`refcount block ${index} at ${hex(offset)} is not aligned`);
    references.add('refcount block', offset, clusterBytes);
  }
  const leaks: number[] = [];
  for (let cluster = 0; cluster < references.clusterCount; cluster++) {
    const stored = refcounts.of(cluster);
    const real = references.counts[cluster]!;
    if (stored < real) errors.push(`cluster ${cluster} has refcount ${stored}, but ${real} references`);
    if (stored > real) leaks.push(cluster);
  }
  return { errors, leaks };
}

/** Clusters beyond the end of the file that are counted; QEMU does not look there. */
export function leaksBeyond(clusterCount: number, refcounts: StoredRefcounts): number[] {
  const leaks: number[] = [];
  const perBlock = refcounts.clustersPerBlock;
  for (const [index, offset] of refcounts.blockOffsets.entries()) {
    const end = (index + 1) * perBlock;
    if (offset === 0 || end <= clusterCount) continue;
    for (let cluster = Math.max(index * perBlock, clusterCount); cluster < end; cluster++) {
      if (refcounts.of(cluster) > 0) leaks.push(cluster);
    }
  }
  return leaks;
}
