/**
 * bitmap-tool remove
 */
import type { BitmapChoice } from '../../operations/bitmaps/choose-bitmaps.ts';
import { removeBitmaps } from '../../operations/bitmaps/remove-bitmaps.ts';
import {
  type RemovedBitmaps,
  type RemovedFromImage,
  removeChosen,
} from '../../operations/bitmaps/remove-chosen.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { CHECKPOINT_OPTIONS, type CheckpointFlags, checkpointFilesOf } from '../checkpoint-options.ts';
import type { CommandDefinition } from '../command.ts';
import { CommandLineError, DONE } from '../errors.ts';
import { STORED_BITMAP } from '../option.ts';
import { print } from '../output.ts';
import { describePlan } from '../print/plan.ts';
import { EDIT_OPTIONS, type EditFlags, edit, IMAGE } from './edit.ts';

interface RemoveFlags extends EditFlags, CheckpointFlags {
  all?: boolean;
  unknown?: boolean;
  chain?: boolean;
}

export const removeCommand: CommandDefinition<[string, string[]], RemoveFlags> = {
  arguments: [
    IMAGE,
    {
      usage: '[bitmap...]',
      description: 'names of bitmaps; of one image all are removed at once or none',
      completes: STORED_BITMAP,
    },
  ],
  options: [
    ...EDIT_OPTIONS,
    { flags: '--all', description: 'all bitmaps, instead of some by name' },
    {
      flags: '--unknown',
      description: 'all that no checkpoint of --checkpoints has, including those of interrupted jobs',
    },
    { flags: '--chain', description: 'from every image of the backing chain, the top first' },
    ...CHECKPOINT_OPTIONS,
  ],
  examples: [
    'bitmap-tool remove disk.qcow2 checkpoint-1 checkpoint-2',
    'bitmap-tool remove --all --chain --dry-run disk.qcow2',
    'bitmap-tool remove --unknown --chain --checkpoints /backup/vm1/checkpoints disk.qcow2',
  ],
  async run([image, names], flags, { invoke }) {
    const choice = choiceOf(names, flags);
    if (choice.kind === 'named' && !flags.chain) {
      await edit('removed', image, flags, invoke, {
        atRest: (path, options) => removeBitmaps(path, names, options),
        running: (qemu, { removeRunning }, path, options) => removeRunning(qemu, path, names, options),
      });
      return DONE;
    }
    if ((flags.qmp ?? flags.domain) !== undefined)
      throw new CommandLineError('--qmp and --domain take bitmaps by name, of one image');
    const { chain, dryRun } = flags;
    const result = await invoke(flags, (common) => removeChosen(image, choice, { ...common, chain, dryRun }));
    if (!flags.quiet) await print(flags.json ? `${printableJson(result, 2)}\n` : describe(image, result));
    return DONE;
  },
};

function choiceOf(names: readonly string[], { all, unknown, ...flags }: RemoveFlags): BitmapChoice {
  const ways = [
    ...(names.length > 0 ? ['bitmaps by name'] : []),
    ...(all ? ['--all'] : []),
    ...(unknown ? ['--unknown'] : []),
  ];
  if (ways.length === 0) throw new CommandLineError('name the bitmaps to remove, or use --all or --unknown');
  if (ways.length > 1) throw new CommandLineError(`${ways.join(' and ')} cannot be combined`);
  const files = checkpointFilesOf(flags);
  if (!unknown && (files.checkpoints ?? files.disks) !== undefined)
    throw new CommandLineError('--checkpoints and --disk belong to --unknown');
  if (unknown && files.checkpoints === undefined)
    throw new CommandLineError('--unknown needs --checkpoints: the existing checkpoints');
  if (unknown) return { kind: 'unknown', ...files };
  return all ? { kind: 'all' } : { kind: 'named', names };
}

function describe(image: string, { images, dryRun }: RemovedBitmaps): string {
  if (images.length === 0) return `${printable(image)}: no such bitmaps\n`;
  return images.map((each) => describeImage(each, dryRun)).join('');
}

function describeImage({ image, bitmaps, plan }: RemovedFromImage, dryRun: boolean): string {
  const done = dryRun ? 'would be removed' : 'removed';
  return `${printable(image)}: ${done}: ${bitmaps.map(printable).join(', ')}\n${describePlan(plan, dryRun)}`;
}
