/**
 * The options that say which bitmaps are to be made, and from what: those of create-from and measure.
 */
import { type Command, Option } from 'commander';
import type { CreateFromOptions } from '../operations/create-from/create-from-result.ts';
import type { BitmapSource } from '../operations/create-from/sources.ts';
import { type CommonOptions, granularityOption } from './common-options.ts';
import { addSourceOptions, listOf, type SourceFlags, sourceOf } from './source-options.ts';

export interface TargetFlags extends CommonOptions, SourceFlags {
  name?: string[];
  granularity?: number;
  disabled?: boolean;
  ifExists: 'fail' | 'merge' | 'replace';
}

export function addTargetOptions(command: Command): Command {
  return addSourceOptions(command)
    .addOption(
      new Option(
        '-n, --name <name>',
        'name of the new bitmap, repeatable; without it the image gets the valid bitmaps of the nearest backing image that has any',
      ).argParser(listOf),
    )
    .addOption(granularityOption())
    .option('--disabled', 'the bitmap does not record further writes')
    .addOption(
      new Option('--if-exists <what>', 'what to do about a bitmap of that name')
        .choices(['fail', 'merge', 'replace'])
        .default('fail'),
    );
}

/** @throws UsageError unless exactly one source is named */
export async function targetOf(
  flags: TargetFlags,
): Promise<{ source: BitmapSource; options: CreateFromOptions }> {
  const { name: names, granularity, disabled, ifExists } = flags;
  return { source: await sourceOf(flags), options: { names, granularity, disabled, ifExists } };
}
