/**
 * bitmap-tool checkpoint-create
 */
import {
  type CreateCheckpointResult,
  createCheckpoint,
} from '../../operations/checkpoints/create-checkpoint.ts';
import { counted } from '../../text/counted.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { shellWord } from '../../text/shell-word.ts';
import { formatSize } from '../../text/size.ts';
import { CHECKPOINT_OPTIONS, type CheckpointFlags, checkpointFilesOf } from '../checkpoint-options.ts';
import type { CommandDefinition } from '../command.ts';
import { GRANULARITY_OPTION, WRITING_OPTIONS, type WritingOptions } from '../common-options.ts';
import { DONE } from '../errors.ts';
import { FILE, FREE } from '../option.ts';
import { print } from '../output.ts';
import { changeCell } from '../print/bitmap-columns.ts';
import { describePlan } from '../print/plan.ts';
import { type Cell, table } from '../print/table.ts';

interface CheckpointCreateFlags extends WritingOptions, CheckpointFlags {
  parent?: string;
  output?: string;
  granularity?: number;
}

export const checkpointCreateCommand: CommandDefinition<[string, string[]], CheckpointCreateFlags> = {
  arguments: [
    { usage: '<name>', description: 'name of the checkpoint, and of its bitmaps', completes: FREE },
    { usage: '<image...>', description: 'the active image of each disk', completes: FILE },
  ],
  options: [
    ...WRITING_OPTIONS,
    {
      flags: '--parent <name>',
      description:
        'the checkpoint before it; without it the newest one that all disks have, by --checkpoints or by what the bitmaps mark',
      completes: FREE,
    },
    {
      flags: '--output <file>',
      description: 'write the XML that "virsh checkpoint-create --redefine" takes to a new file',
      completes: FILE,
    },
    GRANULARITY_OPTION,
    ...CHECKPOINT_OPTIONS,
  ],
  examples: [
    'bitmap-tool checkpoint-create c2 --disk vda --disk vdb --output c2.xml vda.qcow2 vdb.qcow2',
    'bitmap-tool checkpoint-create c2 --dry-run --disk vda disk.qcow2',
  ],
  notes: `Then, with the guest running:
  virsh checkpoint-create vm1 c2.xml --redefine --redefine-validate`,
  async run([name, images], flags, { invoke }) {
    const { parent, output, granularity, dryRun } = flags;
    const files = checkpointFilesOf(flags);
    const result = await invoke(flags, (common) =>
      createCheckpoint(name, images, { ...common, ...files, parent, output, granularity, dryRun }),
    );
    if (!flags.quiet) await print(flags.json ? `${printableJson(result, 2)}\n` : describe(result));
    return DONE;
  },
};

function describe(result: CreateCheckpointResult): string {
  const { checkpoint, parent, disks, dryRun, file } = result;
  const after = parent === null ? '' : `, after ${printable(parent)}`;
  const rows = disks.map(({ disk, image, action, granularity }) => [
    `  ${printable(disk)}`,
    printable(image),
    actionCell(action, dryRun),
    formatSize(granularity),
  ]);
  const columns = [
    { title: '  disk' },
    { title: 'image' },
    { title: '' },
    { title: 'granularity', align: 'right' },
  ] as const;
  const plans = disks.map(({ image, plan }) =>
    plan === null ? '' : `${printable(image)}: ${describePlan(plan, dryRun)}`,
  );
  const next =
    file === null
      ? ''
      : `Then, with the guest running:\n  virsh checkpoint-create DOMAIN ${printable(shellWord(file))} --redefine --redefine-validate\n`;
  return `checkpoint ${printable(checkpoint)}${after}, ${counted(disks.length, 'disk')}\n${table(columns, rows)}${plans.join('')}${next}`;
}

function actionCell(action: CreateCheckpointResult['disks'][number]['action'], dryRun: boolean): Cell {
  if (action === 'present') return 'there already';
  return changeCell(action, dryRun);
}
