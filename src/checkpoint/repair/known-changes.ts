/**
 * Sources that a person can name for the changes since a checkpoint, if the chain does not have them.
 */
import { type DirtyBitmap, dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import { UsageError } from '../../errors.ts';
import { type ChainImage, originOf, stateIn } from '../chain/chain-images.ts';
import type { KnownCheckpoint } from '../verdict/choose-checkpoints.ts';
import { originIn } from '../verdict/origin-evidence.ts';
import type { Given } from './image-repair.ts';

export type KnownChanges =
  /** The disk as it was when the checkpoint was made. */
  | {
      readonly kind: 'backup';
      readonly path: string;
      /**
       * Marks where the disk differs from it.
       *
       * @param origin the images from the top down to this one have been written to since
       * @throws RefusedError when the backup is read through one of these images, or is of another size
       */
      differences(granularityBits: number, origin: number): Promise<DirtyBitmap>;
    }
  /** The images that the guest wrote to before it went back to what lies below them. */
  | {
      readonly kind: 'branch';
      readonly path: string;
      /** Index of the image of today's chain that the branch stands on. */
      readonly fork: number;
      /** Index of an image of the branch, its top being 0; undefined for any other file. */
      indexOf(path: string): Promise<number | undefined>;
      /** Marks what the images of the branch hold from that one down to the fork. */
      allocated(from: number, granularityBits: number): Promise<DirtyBitmap>;
    };

/** The image that gets what is known of a checkpoint, and how to read it. */
export interface GivenAt {
  readonly index: number;
  read(granularityBits: number): Promise<Given>;
}

/**
 * For each of the checkpoints, what the changes tell of it; undefined for those that need nothing, or that they say nothing of.
 *
 * @param said index of the image that a person says was active
 * @throws UsageError when a backup is given for several checkpoints: it has the state of one
 */
export async function givenFor(
  images: readonly ChainImage[],
  checkpoints: readonly KnownCheckpoint[],
  changes: KnownChanges | undefined,
  said: number | undefined,
): Promise<(GivenAt | undefined)[]> {
  if (changes === undefined) return checkpoints.map(() => undefined);
  const needing = checkpoints.filter((checkpoint) => needsChanges(images, checkpoint));
  if (changes.kind === 'backup' && needing.length > 1) {
    throw new UsageError(
      `backup ${changes.path}: a backup has the disk as it was at one checkpoint, and these need one: ${needing.map(({ name }) => name).join(', ')}`,
      { remedy: { kind: 'repair-one-by-one' } },
    );
  }
  const given = await Promise.all(
    checkpoints.map((checkpoint) =>
      needing.includes(checkpoint) ? givenAt(images, checkpoint, changes, said) : undefined,
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

/** The chain does not show its changes, or the bitmap of the image in which it began is broken. */
function needsChanges(images: readonly ChainImage[], { name, origin }: KnownCheckpoint): boolean {
  const index = originIn(origin, originOf(images, name));
  if (index === undefined) return true;
  const state = stateIn(images[index]!, name);
  return state !== 'good' && state !== 'recording';
}

async function givenAt(
  images: readonly ChainImage[],
  { name, origin }: KnownCheckpoint,
  changes: KnownChanges,
  said: number | undefined,
): Promise<GivenAt | undefined> {
  const known = originIn(origin, originOf(images, name));
  if (changes.kind === 'backup') {
    const index = holderAt(images, known ?? said ?? lowestOf(origin));
    return {
      index,
      read: async (granularityBits) => ({
        marks: await changes.differences(granularityBits, index),
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
      // QEMU empties an image that it commits: then the changes are in the image at the fork.
      const isEmptied = dirtyBytes(marks) === 0;
      // The active image has been written to since the guest is back on it; one below it has not.
      return { marks, besides: changes.fork === 0 || isEmptied ? 'allocated' : 'older' };
    },
  };
}

function lowestOf(origin: KnownCheckpoint['origin']): number {
  if (origin.kind === 'lower') return origin.last;
  return origin.kind === 'left' ? (origin.fork ?? 0) : 0;
}

/** A raw image can hold no bitmap; the one above it can. */
function holderAt(images: readonly ChainImage[], index: number): number {
  return index > 0 && images[index]!.layer.format === 'raw' ? index - 1 : index;
}
