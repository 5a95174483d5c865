/**
 * Problems with the bitmaps of one image, as data.
 */
import type { BitmapRule } from '../format/bitmap-rules.ts';
import type { Remedy } from '../remedy.ts';

/** Stable: scripts may rely on them. */
export type ProblemCode =
  /** Rules whose violation makes QEMU refuse the image. QEMU accepts some cases of `duplicate-name`. */
  | BitmapRule
  /** An invalid table entry. QEMU refuses the image because of it, unless the bitmap is in use. */
  | 'table-entry'
  /** Reaches beyond the end of the file. QEMU reads zeros there and stores them as clean. */
  | 'table-beyond-end'
  | 'data-beyond-end'
  /** Clusters of the directory or of a bitmap that have another owner as well. */
  | 'overlap'
  /** Header structures, refcounts or the L1 table share clusters with other structures. */
  | 'metadata-overlap'
  /** Clusters with a reference have refcount 0: QEMU would allocate them again. */
  | 'refcount-too-low'
  /** Clusters are counted but have no reference. */
  | 'leaked-clusters'
  | 'bits-past-end'
  | 'in-use'
  /** Autoclear bit 0 is clear, but the extension is still present. */
  | 'stale'
  /** A checkpoint that only some of the disks have and that has no recorded data. */
  | 'checkpoint-interrupted'
  /** A temporary bitmap of an interrupted job. */
  | 'temporary-bitmap'
  /** A program has the image open for writing, so bitmaps are in use. */
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
  /** `error`: data or bitmaps are or may be lost. `warning`: a cleanup is due. `note`: for information. */
  readonly severity: 'error' | 'warning' | 'note';
  /** The affected bitmap. */
  readonly bitmap?: string;
  /** Its index in the directory. */
  readonly index?: number;
  /** The place, the value found and the allowed values, without the name of the image. */
  readonly message: string;
  readonly remedy?: Remedy;
  /** QEMU refuses the whole image because of this problem. */
  readonly unopenable: boolean;
  /** Offset in the image of the first affected place, in bytes. */
  readonly offset?: number;
  /** Number of affected clusters. */
  readonly clusters?: number;
  readonly bytes?: number;
}
