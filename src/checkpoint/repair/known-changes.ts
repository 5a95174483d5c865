/**
 * Sources that a person can name for the changes since a checkpoint, if the chain does not have them.
 */
import { type DirtyBitmap, dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import { UsageError } from '../../errors.ts';
import { isInMemory } from '../chain/bitmap-state.ts';
import { type ChainImage, lowestHolder, stateIn } from '../chain/chain-images.ts';
import type { KnownCheckpoint } from '../known/choose-checkpoints.ts';
import { originFrom } from '../known/origin-evidence.ts';
import type { Given } from './image-repair.ts';

export type KnownChanges =
  /** A backup of the disk in its state at the checkpoint. */
  | {
      readonly kind: 'backup';
      readonly path: string;
      /**
       * Marks the ranges in which the disk differs from the backup.
       *
       * @param lowest the images from the top down to this one may have been written to since
       * @throws RefusedError when the backup is read through one of these images, or has another size
       */
      differences(granularityBits: number, lowest: number): Promise<DirtyBitmap>;
    }
  /** The images that the guest wrote to before it went back to an image below them. */
  | {
      readonly kind: 'branch';
      readonly path: string;
      /** Index of the image in today's chain on which the branch is based. */
      readonly fork: number;
      /** Index of an image of the branch. The top image has index 0. Undefined for any other file. */
      indexOf(path: string): Promise<number | undefined>;
      /** Marks the allocated ranges of the branch images, from `from` down to the fork. */
      allocated(from: number, granularityBits: number): Promise<DirtyBitmap>;
    };

/** The image whose bitmap gets the known changes of a checkpoint, and a function that reads these changes. */
export interface GivenAt {
  readonly index: number;
  read(granularityBits: number): Promise<Given>;
}

/**
 * Finds the known changes of each checkpoint. Undefined if a checkpoint needs none, or if the source does not
 * cover it.
 *
 * @param statedIndex index of the image that a person has named as active
 * @throws UsageError when a backup is given for several checkpoints: a backup has the state of one checkpoint
 */
export async function givenFor(
  images: readonly ChainImage[],
  checkpoints: readonly KnownCheckpoint[],
  changes: KnownChanges | undefined,
  statedIndex: number | undefined,
): Promise<(GivenAt | undefined)[]> {
  if (changes === undefined) return checkpoints.map(() => undefined);
  const needing = checkpoints.filter((checkpoint) => needsChanges(images, checkpoint));
  if (changes.kind === 'backup' && needing.length > 1) {
    throw new UsageError(
      `backup ${changes.path}: a backup contains the disk at one checkpoint, but several checkpoints need a backup: ${needing.map(({ name }) => name).join(', ')}`,
      { remedy: { kind: 'repair-one-by-one' } },
    );
  }
  const given = await Promise.all(
    checkpoints.map((checkpoint) =>
      needing.includes(checkpoint) ? givenAt(images, checkpoint, changes, statedIndex) : undefined,
    ),
  );
  if (changes.kind === 'branch' && !given.some((each) => each !== undefined)) {
    throw new UsageError(
      `branch ${changes.path}: no checkpoint that is to be repaired began in an image of this branch`,
      { remedy: { kind: 'name-checkpoint-of-origin' } },
    );
  }
  return given;
}

/** Whether the chain does not show its changes, or the bitmap in its origin is not valid. */
function needsChanges(images: readonly ChainImage[], { name, origin }: KnownCheckpoint): boolean {
  const index = originFrom(origin, lowestHolder(images, name));
  if (index === undefined) return true;
  const state = stateIn(images[index]!, name);
  return state !== 'good' && !isInMemory(state);
}

async function givenAt(
  images: readonly ChainImage[],
  { name, origin }: KnownCheckpoint,
  changes: KnownChanges,
  statedIndex: number | undefined,
): Promise<GivenAt | undefined> {
  const known = originFrom(origin, lowestHolder(images, name));
  if (changes.kind === 'backup') {
    const index = holderAt(images, Math.max(known ?? statedIndex ?? lowestOf(origin), statedIndex ?? 0));
    // Without XML, the checkpoint may have begun in a lower image that has lost its bitmap.
    const lowest = origin.kind === 'unknown' && statedIndex === undefined ? images.length - 1 : index;
    return {
      index,
      read: async (granularityBits) => ({
        marks: await changes.differences(granularityBits, lowest),
        besides: 'nothing',
      }),
    };
  }
  if (known !== undefined) return undefined;
  const from = origin.kind === 'left' ? await changes.indexOf(origin.path) : 0;
  if (from === undefined || origin.kind === 'lower') return undefined;
  return {
    index: holderAt(images, changes.fork),
    async read(granularityBits) {
      const marks = await changes.allocated(from, granularityBits);
      // QEMU empties an image that it commits. The changes are then in the image at the fork.
      const isEmptied = dirtyBytes(marks) === 0;
      // The guest has written to the active image since it went back. It has not written to an image below.
      return { marks, besides: changes.fork === 0 || isEmptied ? 'allocated' : 'older' };
    },
  };
}

function lowestOf(origin: KnownCheckpoint['origin']): number {
  if (origin.kind === 'lower') return origin.last;
  return origin.kind === 'left' ? (origin.fork ?? 0) : 0;
}

/** A raw image cannot hold a bitmap. The image above it can. */
function holderAt(images: readonly ChainImage[], index: number): number {
  return index > 0 && images[index]!.layer.format === 'raw' ? index - 1 : index;
}
