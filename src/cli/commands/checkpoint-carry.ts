/**
 * bitmap-tool checkpoint-carry
 */
import {
  type CarriedBitmap,
  type CarryResult,
  carryCheckpoints,
} from '../../operations/checkpoints/carry-checkpoints.ts';
import { counted } from '../../text/counted.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { formatSize } from '../../text/size.ts';
import type { CommandDefinition } from '../command.ts';
import { WRITING_OPTIONS, type WritingOptions } from '../common-options.ts';
import { DONE } from '../errors.ts';
import { FILE, FREE } from '../option.ts';
import { print } from '../output.ts';
import { changeCell, SIZE_COLUMNS, sizeCells } from '../print/bitmap-columns.ts';
import { describePlan } from '../print/plan.ts';
import { type Cell, table } from '../print/table.ts';

type CarryFlags = WritingOptions & { name?: string[] };

export const checkpointCarryCommand: CommandDefinition<[string, string], CarryFlags> = {
  arguments: [
    {
      usage: '<from>',
      description: 'the active image of the chain that has the checkpoints',
      completes: FILE,
    },
    {
      usage: '<image>',
      description: 'qcow2 image (version 3) that takes the place of the chain',
      completes: FILE,
    },
  ],
  options: [
    ...WRITING_OPTIONS,
    {
      flags: '-n, --name <name>',
      description: 'only this checkpoint, repeatable',
      completes: FREE,
      isRepeatable: true,
    },
  ],
  examples: [
    'qemu-img convert -O qcow2 overlay.qcow2 flat.qcow2 && bitmap-tool checkpoint-carry overlay.qcow2 flat.qcow2',
    'bitmap-tool checkpoint-carry overlay.qcow2 base.qcow2 && qemu-img commit overlay.qcow2',
  ],
  notes:
    'An image of the chain itself, such as its base, gets the checkpoints before qemu-img commit, not after it: QEMU then records the writes of the commit.',
  async run([from, image], flags, { invoke }) {
    const { name: names, dryRun } = flags;
    const result = await invoke(flags, (common) =>
      carryCheckpoints(from, image, { ...common, names, dryRun }),
    );
    if (!flags.quiet) await print(flags.json ? `${printableJson(result, 2)}\n` : describe(result));
    return DONE;
  },
};

function describe({ image, from, bitmaps, virtualSize, differingBytes, plan, dryRun }: CarryResult): string {
  const title = `${printable(image)}: ${counted(bitmaps.length, 'checkpoint')} of the chain of ${printable(from)}`;
  const rows = bitmaps.map((bitmap) => [
    `  ${printable(bitmap.name)}`,
    actionOf(bitmap, dryRun),
    ...sizeCells(bitmap, virtualSize),
  ]);
  const columns = [{ title: '  bitmap' }, { title: '' }, ...SIZE_COLUMNS] as const;
  const difference = differingBytes
    ? `The disks differ in ${formatSize(differingBytes)}, which every checkpoint marks as well.\n`
    : '';
  return `${title}\n${table(columns, rows)}${difference}${describePlan(plan, dryRun)}`;
}

function actionOf({ action }: CarriedBitmap, dryRun: boolean): Cell {
  if (action === 'unchanged') return action;
  return changeCell(action, dryRun);
}
