/**
 * Options that every command has.
 */
import { parseSize } from '../text/size.ts';
import { FREE, type OptionDefinition } from './option.ts';

export interface CommonOptions {
  json?: boolean;
  quiet?: boolean;
  progress: boolean;
  forceShare?: boolean;
  lock: boolean;
}

export interface WritingOptions extends CommonOptions {
  dryRun?: boolean;
}

export const COMMON_OPTIONS: readonly OptionDefinition[] = [
  { flags: '--json', description: 'print one JSON document on stdout; errors as JSON on stderr' },
  { flags: '-q, --quiet', description: 'print no result and no progress' },
  { flags: '--no-progress', description: 'show no progress' },
  { flags: '-U, --force-share', description: 'read images that are in use; the result may be stale' },
  {
    flags: '--no-lock',
    description: 'take no image locks (for platforms and file systems without them)',
  },
  { flags: '--color', description: 'colour the output even if it does not go to a terminal' },
  { flags: '--no-color', description: 'no colour' },
];

export const WRITING_OPTIONS: readonly OptionDefinition[] = [
  ...COMMON_OPTIONS,
  { flags: '--dry-run', description: 'show what would be written, and write nothing' },
];

export const GRANULARITY_OPTION: OptionDefinition = {
  flags: '-g, --granularity <size>',
  description: 'bytes that one bit stands for: 512 to 2G, a power of two',
  completes: FREE,
  parse: parseSize,
};

export const UNITE_CHAIN_OPTION: OptionDefinition = {
  flags: '--chain',
  description: 'merge it with the bitmaps of that name of all backing images, as a backup does',
};
