/**
 * bitmap-tool verify
 */
import { type BitmapVerdict, verifyBitmap } from '../../operations/bitmaps/verify-bitmap.ts';
import { counted } from '../../text/counted.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { formatSize } from '../../text/size.ts';
import { color } from '../color.ts';
import type { CommandDefinition } from '../command.ts';
import { COMMON_OPTIONS, type CommonOptions, UNITE_CHAIN_OPTION } from '../common-options.ts';
import { DONE, PROBLEMS } from '../errors.ts';
import { FILE, READABLE_BITMAP } from '../option.ts';
import { print } from '../output.ts';
import { sharedLine } from '../print/shared-images.ts';

const RANGES_SHOWN = 20;

interface VerifyFlags extends CommonOptions {
  against: string;
  chain?: boolean;
}

export const verifyCommand: CommandDefinition<[string, string], VerifyFlags> = {
  arguments: [
    { usage: '<image>', description: 'qcow2 image as it is now', completes: FILE },
    { usage: '<bitmap>', description: 'name of a bitmap in it, or #ALLOCATED', completes: READABLE_BITMAP },
  ],
  options: [
    ...COMMON_OPTIONS,
    {
      flags: '--against <image>',
      description: 'the image as it was when the bitmap began to record: qcow2 or raw',
      completes: FILE,
      isRequired: true,
    },
    UNITE_CHAIN_OPTION,
  ],
  examples: [
    'bitmap-tool verify disk.qcow2 checkpoint-1 --against full-backup.raw',
    "bitmap-tool verify overlay.qcow2 '#ALLOCATED' --against base.qcow2",
  ],
  notes: 'Exit code: 0 everything that differs is marked, 3 something is missing.',
  async run([image, name], options, { invoke }) {
    const { against, chain } = options;
    const verdict = await invoke(options, (common) =>
      verifyBitmap(image, name, against, { ...common, chain }),
    );
    if (!options.quiet) await print(options.json ? `${printableJson(verdict, 2)}\n` : describe(verdict));
    return verdict.covered ? DONE : PROBLEMS;
  },
};

function describe(verdict: BitmapVerdict): string {
  const { image, bitmap, against, covered, unreadImages } = verdict;
  const { differingBytes, dirtyBytes, missingBytes, needlessBytes } = verdict;
  const names = `${printable(image)}: ${printable(bitmap)}`;
  const numbers = `${formatSize(differingBytes)} differ, ${formatSize(dirtyBytes)} are marked, ${formatSize(needlessBytes)} of that without need.\n${sharedLine(verdict.sharedImages)}`;
  if (covered) {
    return `${names} ${color.green('covers')} every difference from ${printable(against)}\n${numbers}`;
  }
  const { length } = unreadImages;
  const effect =
    length === 0
      ? 'an incremental backup would miss it'
      : `${counted(length, 'backing image')} also ${length === 1 ? 'has' : 'have'} a bitmap of that name, which a backup adds; --chain does so`;
  return `${names} ${color.red('lacks')} ${formatSize(missingBytes)} of what differs from ${printable(against)}: ${effect}\n${numbers}${missingRanges(verdict)}`;
}

function missingRanges({ missing, missingRanges: total }: BitmapVerdict): string {
  const lines = missing
    .slice(0, RANGES_SHOWN)
    .map(({ offset, length }) => `${String(offset).padStart(16)}  ${String(length).padStart(16)}  missing\n`);
  const rest = total - lines.length;
  return `${lines.join('')}${rest > 0 ? `… and ${counted(rest, 'more range')}; --json lists more\n` : ''}`;
}
