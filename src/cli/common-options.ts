/**
 * Options that every command has.
 */
import { type Command, Option } from 'commander';
import { parseSize } from '../text/size.ts';

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

export function addCommonOptions(command: Command): Command {
  return command
    .option('--json', 'print one JSON document on stdout; errors as JSON on stderr')
    .option('-q, --quiet', 'print no result and no progress')
    .option('--no-progress', 'show no progress')
    .option('-U, --force-share', 'read images that are in use; what is read may be stale')
    .option('--no-lock', 'take no image locks (for platforms and file systems without them)')
    .addOption(new Option('--color', 'colour the output even when it is no terminal'))
    .addOption(new Option('--no-color', 'no colour'));
}

export function addWritingOptions(command: Command): Command {
  return addCommonOptions(command).option('--dry-run', 'show what would be written, and write nothing');
}

export function granularityOption(): Option {
  const option = new Option(
    '-g, --granularity <size>',
    'bytes that one bit stands for: 512 to 2G, a power of two',
  );
  return option.argParser(parseSize);
}
