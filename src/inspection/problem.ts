/**
 * What can be wrong with the bitmaps of one image, as data.
 */
import type { BitmapRule } from '../format/bitmap-rules.ts';
import type { Remedy } from '../remedy.ts';

/** Stable: scripts may rely on them. */
export type ProblemCode =
  /** The rules by which QEMU refuses the image; `duplicate-name` also where QEMU does not mind. */
  | BitmapRule
  /** A table entry that QEMU refuses, and with it the image unless the bitmap is in use. */
  | 'table-entry'
  /** Reaches beyond the end of the file, where QEMU reads zeros and stores them as clean. */
  | 'table-beyond-end'
  | 'data-beyond-end'
  /** Clusters of the directory or of a bitmap that something else points at too. */
  | 'overlap'
  /** Header structures, refcounts or the L1 table share clusters with something. */
  | 'metadata-overlap'
  /** Clusters that something points at have refcount 0: QEMU would give them away. */
  | 'refcount-too-low'
  /** Clusters that are counted though nothing points at them. */
  | 'leaked-clusters'
  | 'bits-past-end'
  | 'in-use'
  /** Autoclear bit 0 is clear, the extension still there. */
  | 'stale'
  /** A checkpoint that some of the disks have, and that has recorded nothing. */
  | 'checkpoint-interrupted'
  /** A bitmap of a job that was cut short. */
  | 'temporary-bitmap'
  /** A program has the image open for writing, so that bitmaps are in use. */
  | 'being-written'
  /** The tables of the image cannot be read. */
  | 'image-unreadable'
  /** The images below cannot be opened. */
  | 'chain-broken'
  | 'version-2'
  | 'marked-corrupt'
  | 'marked-dirty'
  | 'unknown-autoclear';

export interface Problem {
  readonly code: ProblemCode;
  /** `error`: data or bitmaps are lost or may be; `warning`: something should be tidied up; `note`: good to know. */
  readonly severity: 'error' | 'warning' | 'note';
  /** The bitmap that it is about. */
  readonly bitmap?: string;
  /** Its place in the directory. */
  readonly index?: number;
  /** Where, what was found, what is allowed; without the name of the image. */
  readonly message: string;
  readonly remedy?: Remedy;
  /** QEMU refuses the whole image because of it. */
  readonly unopenable: boolean;
  /** Of the first place that it is about, in bytes of the image. */
  readonly offset?: number;
  /** How many clusters it is about. */
  readonly clusters?: number;
  readonly bytes?: number;
}
