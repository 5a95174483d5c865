/**
 * The options that name what is on file about checkpoints.
 */
import { type Command, Option } from 'commander';
import type { CheckpointFiles } from '../checkpoint/verdict/known-checkpoints.ts';
import { listOf } from './source-options.ts';

export interface CheckpointFlags {
  checkpoints?: string[];
  disk?: string[];
}

export function addCheckpointOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--checkpoints <xml|dir>',
        'the checkpoints that there are: what virsh checkpoint-dumpxml prints, or a folder of it, as virtnbdbackup keeps; repeatable',
      ).argParser(listOf),
    )
    .addOption(
      new Option(
        '--disk <name>',
        'what checkpoints call the image, for example vda; one for each image, in their order',
      ).argParser(listOf),
    );
}

export function checkpointFilesOf({ checkpoints, disk: disks }: CheckpointFlags): CheckpointFiles {
  return { checkpoints, disks };
}
