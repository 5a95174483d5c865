/**
 * What a repair of checkpoints is asked for, and what it reports.
 */
import type { RepairedBitmap } from '../../checkpoint/repair/image-repair.ts';
import type { CheckpointFiles } from '../../checkpoint/verdict/known-checkpoints.ts';
import type { ChangeOptions, PlanReport } from '../change-bitmaps.ts';

export interface RepairOptions extends ChangeOptions, CheckpointFiles {
  /** Only these checkpoints; those of which no bitmap is valid must be named. */
  readonly names?: readonly string[] | undefined;
  /** For a disk each, the image that was active when checkpoints were made of which nothing is left in its chain. */
  readonly origins?: readonly string[] | undefined;
  /**
   * For each disk, in their order, the disk as it was when the one checkpoint was made that is broken: a backup, qcow2 or raw,
   * with its backing chain.
   */
  readonly against?: readonly string[] | undefined;
  /** Images that were active before a guest went back to what lies below them; each stands on the chain of a disk. */
  readonly branches?: readonly string[] | undefined;
  /** Agree that a broken bitmap of the image in which a checkpoint begins is made from all that this image holds. */
  readonly rebuildOrigin?: boolean | undefined;
  /** Agree that disabled bitmaps are enabled, with all that their image holds marked. */
  readonly enableDisabled?: boolean | undefined;
}

export interface RepairedImage {
  readonly image: string;
  readonly bitmaps: readonly RepairedBitmap[];
  /** null when nothing had to be written. */
  readonly plan: PlanReport | null;
}

export interface RepairedDisk {
  readonly image: string;
  readonly virtualSize: number;
  readonly checkpoints: readonly {
    readonly name: string;
    readonly wasValid: boolean;
  }[];
  /** The images that have bitmaps of the checkpoints, top first. */
  readonly images: readonly RepairedImage[];
  /** Not repaired: their topmost bitmap is not valid and they were not named. */
  readonly unclear: readonly string[];
  /** Checkpoints that another of the disks has and no image of this one; libvirt needs them on every disk of a backup. */
  readonly absent: readonly string[];
  /** Left alone, since no known checkpoint has the name. */
  readonly unknown: readonly string[];
}

export interface RepairResult {
  readonly schema: 1;
  readonly dryRun: boolean;
  readonly disks: readonly RepairedDisk[];
}
