/**
 * bitmap-tool create-from
 */
import { createFrom } from '../../operations/create-from/create-from.ts';
import type { CreatedBitmap, CreateFromResult } from '../../operations/create-from/create-from-result.ts';
import { counted } from '../../text/counted.ts';
import { printable, printableJson } from '../../text/printable.ts';
import type { CommandDefinition } from '../command.ts';
import { WRITING_OPTIONS, type WritingOptions } from '../common-options.ts';
import { CommandLineError, DONE, PROBLEMS } from '../errors.ts';
import { FILE } from '../option.ts';
import { print } from '../output.ts';
import { changeCell, SIZE_COLUMNS, sizeCells } from '../print/bitmap-columns.ts';
import { describePlan, describeRunning } from '../print/plan.ts';
import { sharedLine } from '../print/shared-images.ts';
import { type Cell, table } from '../print/table.ts';
import { DOMAIN_OPTIONS, type DomainFlags, workOnImage } from '../qemu-option.ts';
import { TARGET_OPTIONS, type TargetFlags, targetOf } from '../target-options.ts';

type CreateFromFlags = WritingOptions & TargetFlags & DomainFlags & { into?: string };

export const createFromCommand: CommandDefinition<[string], CreateFromFlags> = {
  arguments: [
    {
      usage: '<image>',
      description: 'qcow2 image (version 3); with --into any that can be read',
      completes: FILE,
    },
  ],
  options: [
    ...WRITING_OPTIONS,
    ...TARGET_OPTIONS,
    ...DOMAIN_OPTIONS,
    {
      flags: '--into <file>',
      description:
        'store the bitmaps in a new qcow2 image over <image>, which is only read; for qemu-nbd -r -B <name> <file>',
      completes: FILE,
    },
  ],
  examples: [
    'bitmap-tool create-from --allocated disk.qcow2',
    'bitmap-tool create-from --allocated --above base.qcow2 --name since-base disk.qcow2',
    'bitmap-tool create-from --allocated --name c1 --if-exists merge disk.qcow2',
    'bitmap-tool create-from --bitmap c1 --from base.qcow2 --name copy disk.qcow2',
    'bitmap-tool create-from --bitmap c1 --chain --into scratch.qcow2 disk.qcow2',
    'bitmap-tool create-from --compare full-backup.raw --name since-backup disk.qcow2',
    'qemu-img map --output=json old.qcow2 | bitmap-tool create-from --extents - --name listed disk.qcow2',
  ],
  async run([image], flags, { invoke }) {
    const { source, options } = await targetOf(flags);
    const { into, qmp, domain } = flags;
    if ((qmp ?? domain) !== undefined && into !== undefined) {
      throw new CommandLineError(
        '--into is for an image at rest, and --qmp and --domain for guests',
        'Let QEMU make the bitmap without --into, or read the image by force with -U.',
      );
    }
    const { result, isRunning } = await invoke(flags, (common) => {
      const all = { ...common, ...options, into, dryRun: flags.dryRun };
      return workOnImage(image, flags, {
        atRest: (path) => createFrom(path, source, all),
        running: (qemu, { createFromRunning }, path) => createFromRunning(qemu, path, source, all),
      });
    });
    if (!flags.quiet) await print(flags.json ? `${printableJson(result, 2)}\n` : describe(result, isRunning));
    return result.kept.some(({ missingBytes }) => missingBytes !== 0) ? PROBLEMS : DONE;
  },
};

const SOURCE_WORDS: Readonly<Record<CreateFromResult['source'], string>> = {
  allocated: 'of what it holds',
  data: 'of the data it holds',
  bitmap: 'from other bitmaps',
  compare: 'of what differs from another image',
  extents: 'from a list of extents',
  everything: 'of the whole disk',
};

function describe(result: CreateFromResult, isRunning: boolean): string {
  const { image, into, source, bitmaps, inheritedFrom, virtualSize, kept, sharedImages, plan, dryRun } =
    result;
  const title = into === null ? printable(image) : `${printable(into)} ← ${printable(image)}`;
  if (bitmaps.length === 0) {
    const present =
      kept.length === 0
        ? 'its backing image has no valid bitmaps'
        : `it has ${kept.map(({ name }) => printable(name)).join(', ')} already`;
    return `${title}: nothing to create: ${present}\n`;
  }
  const model = inheritedFrom === null ? '' : `, as in ${printable(inheritedFrom)}`;
  const rows = bitmaps.map((bitmap) => [
    `  ${printable(bitmap.name)}`,
    actionOf(bitmap, dryRun),
    bitmap.enabled ? 'enabled' : 'disabled',
    ...sizeCells(bitmap, virtualSize),
  ]);
  const columns = [{ title: '  bitmap' }, { title: '' }, { title: 'state' }, ...SIZE_COLUMNS] as const;
  const written = isRunning ? describeRunning(dryRun) : describePlan(plan, dryRun);
  return `${title}: ${counted(bitmaps.length, 'bitmap')} ${SOURCE_WORDS[source]}${model}\n${table(columns, rows)}${sharedLine(sharedImages)}${written}`;
}

function actionOf({ action }: CreatedBitmap, dryRun: boolean): Cell {
  if (action === 'unchanged') return action;
  return changeCell(action, dryRun);
}
