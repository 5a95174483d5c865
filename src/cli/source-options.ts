/**
 * The options that name the source of new bitmaps. A command line must name exactly one source.
 */
import type { BitmapSource } from '../operations/create-from/sources.ts';
import { CommandLineError } from './errors.ts';
import { readExtentList } from './extent-list.ts';
import { FILE, type OptionDefinition, READABLE_BITMAP } from './option.ts';

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

export const SOURCE_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: '--allocated',
    description: 'mark what the image itself holds: data, compressed or zero clusters',
  },
  { flags: '--data', description: 'mark what the image itself holds, without zero clusters' },
  {
    flags: '--above <base>',
    description: 'with --allocated or --data: in any image from this one down to, not including, <base>',
    completes: FILE,
  },
  {
    flags: '--bitmap <name>',
    description: 'mark what a stored bitmap marks, repeatable',
    completes: READABLE_BITMAP,
    isRepeatable: true,
  },
  { flags: '--from <image>', description: 'with --bitmap: the image that has it', completes: FILE },
  {
    flags: '--chain',
    description:
      'with --bitmap: what the bitmaps of that checkpoint mark in all images of the chain together, if it is valid',
  },
  {
    flags: '--compare <image>',
    description: 'mark where the guest-visible data differs from that image, qcow2 or raw',
    completes: FILE,
  },
  {
    flags: '--any-size',
    description:
      'with --from or --compare: accept an image of another size; everything beyond the end of the shorter disk counts as dirty',
  },
  {
    flags: '--extents <file>',
    description:
      'mark what a file (- for stdin) lists: JSON of qemu-img map, nbdinfo --map or dump, or lines "offset length"',
    completes: FILE,
  },
  { flags: '--everything', description: 'mark the whole disk' },
];

/** @throws UsageError unless exactly one source is named and the other options belong to it */
export async function sourceOf(flags: SourceFlags): Promise<BitmapSource> {
  const named = SOURCES.filter((source) => flags[source] !== undefined);
  const [source] = named;
  if (source === undefined || named.length > 1) {
    const found =
      named.length === 0 ? 'none was named' : `${named.map((each) => `--${each}`).join(' and ')} were named`;
    throw new CommandLineError(
      `one source is needed, ${found}`,
      'Use --allocated for what the image itself holds; "bitmap-tool create-from --help" lists the other sources.',
    );
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

function misplaced(option: string, owner: string): CommandLineError {
  return new CommandLineError(`--${option} belongs to ${owner}`);
}
