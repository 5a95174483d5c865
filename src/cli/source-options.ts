/**
 * The options that name the source of new bitmaps: exactly one of them.
 */
import { type Command, Option } from 'commander';
import { UsageError } from '../errors.ts';
import type { BitmapSource } from '../operations/create-from/sources.ts';
import { readExtentList } from './extent-list.ts';

export interface SourceFlags {
  allocated?: boolean;
  data?: boolean;
  bitmap?: string[];
  compare?: string;
  extents?: string;
  everything?: boolean;
  above?: string;
  from?: string;
  chain?: boolean;
  anySize?: boolean;
}

const SOURCES = ['allocated', 'data', 'bitmap', 'compare', 'extents', 'everything'] as const;

export function addSourceOptions(command: Command): Command {
  return command
    .option('--allocated', 'mark what the image itself holds: data, compressed or zero clusters')
    .option('--data', 'mark what the image itself holds and what is no zero cluster')
    .option(
      '--above <base>',
      'with --allocated or --data: in any image from this one down to, not including, <base>',
    )
    .addOption(new Option('--bitmap <name>', 'mark what a stored bitmap marks, repeatable').argParser(listOf))
    .option('--from <image>', 'with --bitmap: the image that has it')
    .option(
      '--chain',
      'with --bitmap: what the bitmaps of that checkpoint mark in all images of the chain together, if it is valid',
    )
    .option('--compare <image>', 'mark where guests see something else than in that image, qcow2 or raw')
    .option(
      '--any-size',
      'with --from or --compare: take an image of another size; beyond a shorter one all counts as dirty',
    )
    .option(
      '--extents <file>',
      'mark what a file (- for stdin) lists: JSON of qemu-img map, nbdinfo --map or dump, or lines "offset length"',
    )
    .option('--everything', 'mark the whole disk');
}

export function listOf(value: string, values: string[] = []): string[] {
  return [...values, value];
}

/** @throws UsageError unless exactly one source is named, with options that belong to it */
export async function sourceOf(flags: SourceFlags): Promise<BitmapSource> {
  const named = SOURCES.filter((source) => flags[source] !== undefined);
  const [source] = named;
  if (source === undefined || named.length > 1) {
    const found =
      named.length === 0 ? 'none was named' : `${named.map((each) => `--${each}`).join(' and ')} were named`;
    throw new UsageError(`one source is needed, ${found}`, {
      hint: 'Say --allocated for what the image itself holds; bitmap-tool create-from --help lists the others.',
    });
  }
  const { above, from, chain, anySize } = flags;
  if (above !== undefined && source !== 'allocated' && source !== 'data')
    throw misplaced('above', '--allocated or --data');
  if (from !== undefined && source !== 'bitmap') throw misplaced('from', '--bitmap');
  if (chain !== undefined && source !== 'bitmap') throw misplaced('chain', '--bitmap');
  if (anySize !== undefined && from === undefined && source !== 'compare')
    throw misplaced('any-size', '--from or --compare');
  switch (source) {
    case 'allocated':
    case 'data':
      return { kind: source, above };
    case 'bitmap':
      return { kind: source, names: flags.bitmap!, from, chain, anySize };
    case 'compare':
      return { kind: source, image: flags.compare!, anySize };
    case 'extents':
      return { kind: source, extents: await readExtentList(flags.extents!) };
    case 'everything':
      return { kind: source };
  }
}

function misplaced(option: string, owner: string): UsageError {
  return new UsageError(`--${option} belongs to ${owner}`);
}
