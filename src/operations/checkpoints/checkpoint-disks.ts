/**
 * The names that a checkpoint and its disks have in libvirt.
 */
import { isCheckpointName, isDiskName } from '../../checkpoint/names.ts';
import { UsageError } from '../../errors.ts';
import type { OnWarning } from '../../remedy.ts';
import { counted } from '../../text/counted.ts';

interface DiskNames {
  readonly disks?: readonly string[] | undefined;
  readonly onWarning?: OnWarning | undefined;
}

/** @throws UsageError unless libvirt accepts the name */
export function requireCheckpointName(name: string): void {
  if (isCheckpointName(name)) return;
  throw new UsageError(
    `${JSON.stringify(name)} is not a valid checkpoint name: use ASCII letters, digits, _ - and ., and do not start with a dot`,
  );
}

/**
 * The names of the disks in a checkpoint: those that the user gives, or vda, vdb, … in order.
 *
 * @throws UsageError when a name is not a valid disk name or occurs twice, or their number is wrong
 */
export function checkpointDisks(
  imageNames: readonly string[],
  { disks, onWarning }: DiskNames,
): readonly string[] {
  if (disks === undefined) {
    const names = imageNames.map((_, index) => `vd${String.fromCharCode('a'.charCodeAt(0) + index)}`);
    if (!names.every(isDiskName))
      throw new UsageError(`${imageNames.length} images need the names of their disks`, {
        remedy: { kind: 'name-libvirt-disks' },
      });
    onWarning?.(`taking ${imageNames.map((image, index) => `${image} for ${names[index]}`).join(', ')}`, {
      kind: 'name-libvirt-disks',
    });
    return names;
  }
  const wrong = disks.find((disk) => !isDiskName(disk));
  if (wrong !== undefined) {
    throw new UsageError(
      `${JSON.stringify(wrong)} is not the name of a disk: use its target, such as vda or sdb, or the absolute path of its source in libvirt`,
    );
  }
  const twice = disks.find((disk, index) => disks.indexOf(disk) !== index);
  if (twice !== undefined) throw new UsageError(`disk ${twice} is named twice`);
  if (disks.length !== imageNames.length) {
    throw new UsageError(
      `${counted(imageNames.length, 'image')}, and ${counted(disks.length, 'disk')}: name one for each image, in the same order`,
    );
  }
  return disks;
}
