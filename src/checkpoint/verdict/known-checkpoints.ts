/**
 * What libvirt, or a backup program, has on file about the checkpoints of a disk.
 */

import { RefusedError, UsageError } from '../../errors.ts';
import type { ChainImage } from '../chain/chain-images.ts';
import {
  type ReadCheckpointsOptions,
  readCheckpoints,
  type StoredCheckpoint,
} from '../xml/read-checkpoints.ts';
import type { KnownCheckpoint } from './choose-checkpoints.ts';
import { diskOf, identityIfThere } from './match-disk.ts';

export interface CheckpointFiles {
  /** XML files as `virsh checkpoint-dumpxml` prints them, or folders of such. */
  readonly checkpoints?: readonly string[] | undefined;
  /** What the checkpoints call the disks, one for each image, in their order: a target such as vda. */
  readonly disks?: readonly string[] | undefined;
}

export interface CheckpointRecords {
  /**
   * The checkpoints that cover the disk, parents first.
   *
   * @param position of the disk among those that the operation is about
   * @throws RefusedError when it is no disk of any of them
   */
  of(images: readonly ChainImage[], position: number): Promise<KnownCheckpoint[]>;
  /** Warns of disks that the checkpoints cover and that were not asked about. */
  warnOfOtherDisks(): void;
}

/** @returns undefined when no files are named: then the chains themselves are all that is known */
export async function readRecords(
  { checkpoints: paths, disks }: CheckpointFiles,
  imageCount: number,
  options: ReadCheckpointsOptions,
): Promise<CheckpointRecords | undefined> {
  if (paths === undefined || paths.length === 0) {
    if (disks === undefined || disks.length === 0) return undefined;
    throw new UsageError('--disk says what --checkpoints call an image, and there are none');
  }
  if (disks !== undefined && disks.length !== imageCount) {
    throw new UsageError(
      `${disks.length} --disk for ${imageCount} images: one is needed for each, in their order`,
    );
  }
  const stored = await readCheckpoints(paths, options);
  const met = new Set<object>();
  return {
    async of(images, position) {
      const imagePaths = images.map(({ layer }) => layer.path);
      const known: KnownCheckpoint[] = [];
      const reasons: string[] = [];
      for (const checkpoint of stored) {
        const image = { paths: imagePaths, disk: disks?.[position], isOnly: imageCount === 1 };
        const match = await diskOf(checkpoint, image);
        if (match.kind === 'mismatch') {
          // Its image has moved: nothing else brings a bitmap of that name here.
          const isHere = images.some(({ bitmaps }) => bitmaps.has(checkpoint.name));
          if (isHere && disks === undefined) throw noDisk(imagePaths[0]!, match.reason);
          reasons.push(match.reason);
          continue;
        }
        met.add(match.disk);
        const { name, parent } = checkpoint;
        const madeIn = await indexOf(match.disk.source, images);
        if (match.disk.checkpoint === 'bitmap') known.push({ name, parent, madeIn });
      }
      if (reasons.length === stored.length) throw noDisk(imagePaths[0]!, reasons[0]!);
      for (const reason of reasons) options.onWarning?.(`${imagePaths[0]}: left out: ${reason}`);
      return known;
    },
    warnOfOtherDisks() {
      for (const { name, disks: covered } of stored) warnOf(name, covered);
    },
  };

  function warnOf(name: string, covered: StoredCheckpoint['disks']): void {
    const others = covered.filter((disk) => disk.checkpoint === 'bitmap' && !met.has(disk));
    if (others.length === 0 || others.length === covered.length) return;
    const list = others.map((disk) => disk.target ?? disk.name).join(', ');
    options.onWarning?.(
      `checkpoint "${name}" covers ${list} too, and is valid only if those disks are in order`,
    );
  }
}

/** Undefined for an image that has gone from the chain since, as after a commit. */
async function indexOf(path: string | undefined, images: readonly ChainImage[]): Promise<number | undefined> {
  if (path === undefined) return undefined;
  const identity = await identityIfThere(path);
  const index = images.findIndex(({ layer }) => layer.storage.identity === identity);
  return index < 0 ? undefined : index;
}

function noDisk(path: string, reason: string): RefusedError {
  return new RefusedError('INVALID_CHECKPOINT', `${path}: not a disk of these checkpoints: ${reason}`, {
    hint: 'Say which of their disks it is: --disk TARGET, for example --disk vda; one for each image.',
    context: { file: path },
  });
}
