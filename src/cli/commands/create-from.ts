/**
 * bitmap-tool create-from
 */
import { Command, Option } from 'commander';
import { UsageError } from '../../errors.ts';
import { type CreatedBitmap, type CreateFromResult, createFrom } from '../../operations/create-from.ts';
import { color } from '../color.ts';
import { addWritingOptions, type CommonOptions } from '../common-options.ts';
import { invoke } from '../invocation.ts';
import { print } from '../output.ts';
import { count, describePlan } from '../print/plan.ts';
import { printable } from '../print/printable.ts';
import { formatShare, formatSize, parseSize } from '../print/size.ts';
import { type Cell, table } from '../print/table.ts';

interface CreateFromFlags extends CommonOptions {
  allocated?: boolean;
  above?: string;
  name?: string[];
  granularity?: number;
  disabled?: boolean;
  ifExists: 'fail' | 'merge' | 'replace';
  dryRun?: boolean;
}

export function createFromCommand(): Command {
  return addWritingOptions(new Command('create-from'))
    .description('create bitmaps from what an image holds')
    .argument('<image>', 'qcow2 image (version 3)')
    .option('--allocated', 'mark what the image itself holds: data, compressed or zero clusters')
    .option('--above <base>', 'mark what any image holds from this one down to, not including, <base>')
    .addOption(
      new Option(
        '-n, --name <name>',
        'name of the new bitmap, repeatable; without it the image gets the valid bitmaps of the nearest backing image that has any',
      ).argParser((name: string, names: string[] = []) => [...names, name]),
    )
    .addOption(
      new Option(
        '-g, --granularity <size>',
        'bytes that one bit stands for: 512 to 2G, a power of two',
      ).argParser(parseSize),
    )
    .option('--disabled', 'the bitmap does not record further writes')
    .addOption(
      new Option('--if-exists <what>', 'what to do about a bitmap of that name')
        .choices(['fail', 'merge', 'replace'])
        .default('fail'),
    )
    .addHelpText(
      'after',
      `
Examples:
  bitmap-tool create-from --allocated disk.qcow2
  bitmap-tool create-from --allocated --above base.qcow2 --name since-base disk.qcow2
  bitmap-tool create-from --allocated --name c1 --if-exists merge disk.qcow2`,
    )
    .action(async (image: string, flags: CreateFromFlags) => {
      if (!flags.allocated) {
        throw new UsageError('create-from needs a source', {
          hint: 'Say --allocated: what the image itself holds.',
        });
      }
      const result = await invoke(flags, (common) =>
        createFrom(
          image,
          { kind: 'allocated', above: flags.above },
          {
            ...common,
            names: flags.name,
            granularity: flags.granularity,
            disabled: flags.disabled,
            ifExists: flags.ifExists,
            dryRun: flags.dryRun,
          },
        ),
      );
      if (flags.quiet) return;
      await print(flags.json ? `${JSON.stringify(result, null, 2)}\n` : describe(result));
    });
}

function describe(result: CreateFromResult): string {
  const { image, bitmaps, inheritedFrom, virtualSize, kept, plan, dryRun } = result;
  const title = printable(image);
  if (bitmaps.length === 0) {
    const held =
      kept.length === 0
        ? 'its backing image has no valid bitmaps'
        : `it has ${kept.map(({ name }) => printable(name)).join(', ')} already`;
    return `${title}: nothing to create: ${held}\n`;
  }
  const model = inheritedFrom === null ? '' : `, as in ${printable(inheritedFrom)}`;
  const rows = bitmaps.map((bitmap) => [
    `  ${printable(bitmap.name)}`,
    actionOf(bitmap, dryRun),
    bitmap.enabled ? 'enabled' : 'disabled',
    formatSize(bitmap.granularity),
    formatSize(bitmap.dirtyBytes),
    formatShare(bitmap.dirtyBytes, virtualSize),
  ]);
  const columns = [
    { title: '  bitmap' },
    { title: '' },
    { title: 'state' },
    { title: 'granularity', align: 'right' },
    { title: 'dirty', align: 'right' },
    { title: 'share', align: 'right' },
  ] as const;
  return `${title}: ${count(bitmaps.length, 'bitmap')} of what it holds${model}\n${table(columns, rows)}${describePlan(plan, dryRun)}`;
}

function actionOf({ action }: CreatedBitmap, dryRun: boolean): Cell {
  if (action === 'unchanged') return action;
  return dryRun ? `would be ${action}` : { text: action, paint: color.green };
}
