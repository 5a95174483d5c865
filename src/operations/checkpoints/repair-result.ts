/**
 * The options and the result of a checkpoint repair.
 */
import type { CheckpointFiles } from '../../checkpoint/known/known-checkpoints.ts';
import type { RepairedBitmap } from '../../checkpoint/repair/image-repair.ts';
import type { ChangeOptions, PlanReport } from '../change-bitmaps.ts';

export interface RepairOptions extends ChangeOptions, CheckpointFiles {
  /** Repair only these checkpoints. A checkpoint without a valid bitmap must be named. */
  readonly names?: readonly string[] | undefined;
  /**
   * At most one image for each disk: the active image at the creation of checkpoints that have no bitmap left
   * in the chain.
   */
  readonly origins?: readonly string[] | undefined;
  /**
   * For each disk, in order, its state when the one broken checkpoint was made: a backup, qcow2 or raw, with
   * its backing chain.
   */
  readonly against?: readonly string[] | undefined;
  /**
   * Images that were active before a guest was reverted to an image below them. Each branches from the chain
   * of a disk.
   */
  readonly branches?: readonly string[] | undefined;
  /**
   * Agree that a broken bitmap in the image where a checkpoint begins is rebuilt from the allocation of this
   * image.
   */
  readonly rebuildOrigin?: boolean | undefined;
  /** Agree that disabled bitmaps are enabled and mark all that is allocated in their image. */
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
  /**
   * Checkpoints that another disk has, but no image of this disk. libvirt needs them on every disk of a
   * backup.
   */
  readonly absent: readonly string[];
  /** Bitmaps that were not changed, since no known checkpoint has their name. */
  readonly unknown: readonly string[];
}

export interface RepairResult {
  readonly schema: 1;
  readonly dryRun: boolean;
  readonly disks: readonly RepairedDisk[];
}
