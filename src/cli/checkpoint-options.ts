/**
 * The options that name what is on file about checkpoints.
 */
import type { CheckpointFiles } from '../checkpoint/verdict/known-checkpoints.ts';
import { FILE, FREE, type OptionDefinition } from './option.ts';

export interface CheckpointFlags {
  checkpoints?: string[];
  disk?: string[];
}

export const CHECKPOINT_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: '--checkpoints <xml|dir>',
    description:
      'the checkpoints that there are: what virsh checkpoint-dumpxml prints, or a folder of it, as virtnbdbackup keeps; repeatable',
    completes: FILE,
    isRepeatable: true,
  },
  {
    flags: '--disk <name>',
    description: 'what checkpoints call the image, for example vda; one for each image, in their order',
    completes: FREE,
    isRepeatable: true,
  },
];

export function checkpointFilesOf({ checkpoints, disk: disks }: CheckpointFlags): CheckpointFiles {
  return { checkpoints, disks };
}
