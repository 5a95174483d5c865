/**
 * The options of create-from and measure: the new bitmaps and their source.
 */
import type { CreateFromOptions } from '../operations/create-from/create-from-result.ts';
import type { BitmapSource } from '../operations/create-from/sources.ts';
import { type CommonOptions, GRANULARITY_OPTION } from './common-options.ts';
import { FREE, type OptionDefinition } from './option.ts';
import { SOURCE_OPTIONS, type SourceFlags, sourceOf } from './source-options.ts';

export interface TargetFlags extends CommonOptions, SourceFlags {
  name?: string[];
  granularity?: number;
  disabled?: boolean;
  ifExists: 'fail' | 'merge' | 'replace';
}

export const TARGET_OPTIONS: readonly OptionDefinition[] = [
  ...SOURCE_OPTIONS,
  {
    flags: '-n, --name <name>',
    description:
      'name of the new bitmap, repeatable; without it the image gets the valid bitmaps of the nearest backing image that has any',
    completes: FREE,
    isRepeatable: true,
  },
  GRANULARITY_OPTION,
  { flags: '--disabled', description: 'the bitmap does not record further writes' },
  {
    flags: '--if-exists <what>',
    description: 'what to do about a bitmap of that name',
    completes: { kind: 'choice', choices: ['fail', 'merge', 'replace'] },
    defaultValue: 'fail',
  },
];

/** @throws UsageError unless exactly one source is named */
export async function targetOf(
  flags: TargetFlags,
): Promise<{ source: BitmapSource; options: CreateFromOptions }> {
  const { name: names, granularity, disabled, ifExists } = flags;
  return { source: await sourceOf(flags), options: { names, granularity, disabled, ifExists } };
}
