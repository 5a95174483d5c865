/**
 * Makes the XML with which libvirt redefines checkpoints, from the bitmaps of images or from saved output of
 * `virsh checkpoint-dumpxml`.
 */
import type { CheckpointDisk } from '../../checkpoint/checkpoint.ts';
import { isCheckpointName } from '../../checkpoint/names.ts';
import { type CheckpointToDefine, checkpointXml } from '../../checkpoint/xml/encode-checkpoint.ts';
import { readCheckpoints } from '../../checkpoint/xml/read-checkpoints.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import { areNumbered, inNaturalOrder } from '../../text/natural-order.ts';
import type { OperationOptions } from '../options.ts';
import { type CheckResult, checkCheckpoints } from './check-checkpoints.ts';
import type { CheckedDisk } from './check-disk.ts';
import { checkpointDisks, requireCheckpointName } from './checkpoint-disks.ts';

export interface CheckpointsOfImagesOptions extends OperationOptions {
  /**
   * The checkpoints, oldest first: each is the parent of the next. Default: the only checkpoint of the
   * images.
   */
  readonly names?: readonly string[] | undefined;
  /** The parent of the first; libvirt must know it already. */
  readonly parent?: string | undefined;
  /** Creation time of the first, in seconds since 1970. Each further one is a second later. Default: now. */
  readonly time?: number | undefined;
  /** libvirt's name for each disk: its target or the path of its source. Default: vda, vdb, … */
  readonly disks?: readonly string[] | undefined;
}

export interface CheckpointDocument {
  readonly name: string;
  readonly parent: string | null;
  /** Seconds since 1970. */
  readonly creationTime: number;
  readonly disks: readonly Pick<CheckpointDisk, 'name' | 'checkpoint' | 'bitmap'>[];
  readonly xml: string;
}

export interface CheckpointDocuments {
  readonly schema: 1;
  /** In the order that libvirt needs: parents first. */
  readonly checkpoints: readonly CheckpointDocument[];
}

/**
 * Checkpoints that are valid in every image's chain. libvirt accepts them, and a backup from them is
 * complete.
 *
 * @param imageNames the active image of each disk
 * @throws RefusedError when one of them is not valid, or there is none
 * @throws UsageError when there are several and their order is not given
 */
export async function checkpointsOfImages(
  imageNames: readonly string[],
  options: CheckpointsOfImagesOptions = {},
): Promise<CheckpointDocuments> {
  const { names, parent, time = Math.floor(Date.now() / 1000) } = options;
  for (const name of [...(names ?? []), ...(parent === undefined ? [] : [parent])])
    requireCheckpointName(name);
  const line = [...(parent === undefined ? [] : [parent]), ...(names ?? [])];
  const twice = line.find((name, index) => line.indexOf(name) !== index);
  if (twice !== undefined) throw new UsageError(`checkpoint "${twice}" is named twice`);
  const disks = checkpointDisks(imageNames, options);

  const { signal, onProgress, onWarning, forceShare, noLock } = options;
  const checked = await checkCheckpoints(imageNames, { signal, onProgress, onWarning, forceShare, noLock });
  for (const name of names ?? []) for (const disk of checked.disks) requireValid(name, disk, checked);
  const chosen = names ?? [theOnlyOne(checked)];
  return {
    schema: 1,
    checkpoints: chosen.map((name, index) =>
      documentOf({
        name,
        parent: index === 0 ? parent : chosen[index - 1],
        creationTime: time + index,
        description: undefined,
        disks: disks.map((disk) => ({ name: disk, checkpoint: 'bitmap', bitmap: name })),
      }),
    ),
  };
}

/**
 * Known checkpoints, reduced to the data that libvirt needs to redefine them.
 *
 * @param paths files of XML, or folders of them such as virtnbdbackup keeps
 */
export async function checkpointsOfFiles(
  paths: readonly string[],
  { onWarning }: OperationOptions = {},
): Promise<CheckpointDocuments> {
  const checkpoints = await readCheckpoints(paths, { onWarning });
  const given = new Set(checkpoints.map(({ name }) => name));
  for (const { file, name, parent, disks } of checkpoints) {
    if (parent !== undefined && !given.has(parent)) {
      onWarning?.(
        `${file}: the parent of "${name}", "${parent}", is not among them: libvirt must know it already`,
      );
    }
    if (disks.length === 0)
      onWarning?.(`${file}: "${name}" names no disks: libvirt accepts it without checking any bitmap`);
  }
  return { schema: 1, checkpoints: checkpoints.map(documentOf) };
}

function documentOf(checkpoint: CheckpointToDefine): CheckpointDocument {
  const { name, parent, creationTime, disks } = checkpoint;
  return {
    name,
    parent: parent ?? null,
    creationTime,
    disks: disks.map(({ name: disk, checkpoint: mode, bitmap }) => ({
      name: disk,
      checkpoint: mode,
      bitmap,
    })),
    xml: checkpointXml(checkpoint),
  };
}

function requireValid(name: string, { image, checkpoints }: CheckedDisk, { disks }: CheckResult): void {
  const checkpoint = checkpoints.find((each) => each.name === name);
  if (checkpoint !== undefined && checkpoint.valid !== false) return;
  const context = { file: image, checkpoint: name };
  if (checkpoint === undefined) {
    throw new RefusedError('BITMAP_NOT_FOUND', `${image}: no image of the chain has a bitmap "${name}"`, {
      remedy: disks.length > 1 ? { kind: 'leave-out-image' } : { kind: 'see-checkpoints', images: [image] },
      context,
    });
  }
  const { problems, advice } = checkpoint;
  throw new RefusedError(
    'BITMAP_INCONSISTENT',
    `${image}: checkpoint "${name}" is not valid: ${problems[0]!.message}`,
    { remedy: advice ?? { kind: 'see-checkpoints', images: [image] }, context },
  );
}

/** Images do not show the order in which their bitmaps were made. */
function theOnlyOne({ disks }: CheckResult): string {
  const isValid = (name: string) =>
    disks.every(({ checkpoints }) => checkpoints.some((each) => each.name === name && each.valid !== false));
  const names = disks[0]!.checkpoints
    .map(({ name }) => name)
    .filter((name) => isCheckpointName(name) && isValid(name))
    .sort(inNaturalOrder);
  const [name, ...more] = names;
  const images = disks.map(({ image }) => image);
  if (name === undefined) {
    throw new RefusedError(
      'BITMAP_NOT_FOUND',
      `${images.join(', ')}: no valid checkpoint${images.length > 1 ? ' of all these disks' : ''}`,
      { remedy: { kind: 'see-checkpoints', images } },
    );
  }
  if (more.length > 0) {
    throw new UsageError(`there are ${names.length} valid checkpoints: ${names.join(', ')}`, {
      remedy: { kind: 'order-checkpoints', names, isOrdered: areNumbered(names) },
    });
  }
  return name;
}
