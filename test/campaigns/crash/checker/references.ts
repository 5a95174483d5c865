/** Counts the references to each cluster of an image, and reports clusters with two owners. */
import { hex } from './bytes.ts';
import type { ImageHeader } from './header.ts';

export type Owner =
  | 'header'
  | 'L1 table'
  | 'L2 table'
  | 'data'
  | 'refcount table'
  | 'refcount block'
  | 'snapshot table'
  | 'encryption header'
  | 'bitmap directory'
  | 'bitmap table'
  | 'bitmap data';

/** With internal snapshots these are shared, and counted. */
const shareable: readonly Owner[] = ['L2 table', 'data'];

export class References {
  readonly clusterCount: number;
  readonly counts: Uint32Array;
  readonly errors: string[] = [];
  readonly #owners: (Owner | undefined)[] = [];
  readonly #clusterBytes: number;
  readonly #imageBytes: number;

  constructor(image: Uint8Array, { clusterBytes }: ImageHeader) {
    this.#clusterBytes = clusterBytes;
    this.#imageBytes = image.length;
    this.clusterCount = Math.ceil(image.length / clusterBytes);
    this.counts = new Uint32Array(this.clusterCount);
  }

  add(owner: Owner, offset: number, sizeBytes: number): void {
    if (sizeBytes === 0) return;
    // The last cluster of a file may be there in part.
    if (offset + sizeBytes - this.#imageBytes >= this.#clusterBytes) {
      this.errors.push(`${owner} at ${hex(offset)} (${sizeBytes} bytes) lies beyond the end of the file`);
    }
    const last = Math.floor((offset + sizeBytes - 1) / this.#clusterBytes);
    for (let cluster = Math.floor(offset / this.#clusterBytes); cluster <= last; cluster++) {
      if (cluster >= this.clusterCount) return;
      const before = this.#owners[cluster];
      if (before !== undefined && (before !== owner || !shareable.includes(owner))) {
        this.errors.push(`cluster ${cluster} is both ${before} and ${owner}`);
      }
      this.#owners[cluster] = owner;
      this.counts[cluster]!++;
    }
  }
}
