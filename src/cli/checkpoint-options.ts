/**
 * The options that name the saved XML of checkpoints, and the disks in it.
 */
import type { CheckpointFiles } from '../checkpoint/known/known-checkpoints.ts';
import { FILE, FREE, type OptionDefinition } from './option.ts';

export interface CheckpointFlags {
  checkpoints?: string[];
  disk?: string[];
}

export const CHECKPOINT_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: '--checkpoints <xml|dir>',
    description:
      'the known checkpoints: XML as "virsh checkpoint-dumpxml" prints it, or a folder of such files as virtnbdbackup keeps it; repeatable',
    completes: FILE,
    isRepeatable: true,
  },
  {
    flags: '--disk <name>',
    description:
      'the name of the disk in the checkpoints, for example vda; one for each image, in their order',
    completes: FREE,
    isRepeatable: true,
  },
];

export function checkpointFilesOf({ checkpoints, disk: disks }: CheckpointFlags): CheckpointFiles {
  return { checkpoints, disks };
}
