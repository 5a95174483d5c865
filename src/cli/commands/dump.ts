/**
 * bitmap-tool dump
 */
import { type BitmapDump, type DumpExtent, dumpBitmap } from '../../operations/bitmaps/dump-bitmap.ts';
import { printable } from '../../text/printable.ts';
import { formatShare, formatSize } from '../../text/size.ts';
import type { CommandDefinition } from '../command.ts';
import { COMMON_OPTIONS, type CommonOptions, UNITE_CHAIN_OPTION } from '../common-options.ts';
import { DONE } from '../errors.ts';
import { FILE, READABLE_BITMAP } from '../option.ts';
import { outputClosed, print, printBytes } from '../output.ts';
import { diskPicture } from '../print/disk-picture.ts';
import { printJsonLines, printTextLines } from '../print/dump-lines.ts';
import { DOMAIN_OPTIONS, type DomainFlags, workOnImage } from '../qemu-option.ts';

interface DumpFlags extends CommonOptions, DomainFlags {
  picture?: string;
  chain?: boolean;
}

export const dumpCommand: CommandDefinition<[string, string], DumpFlags> = {
  arguments: [
    { usage: '<image>', description: 'qcow2 image', completes: FILE },
    { usage: '<bitmap>', description: 'name of a bitmap, or #ALLOCATED', completes: READABLE_BITMAP },
  ],
  options: [
    ...COMMON_OPTIONS,
    ...DOMAIN_OPTIONS,
    UNITE_CHAIN_OPTION,
    {
      flags: '--picture <file.svg>',
      description: 'draw it as an SVG picture instead of listing it; with --json do both',
      completes: FILE,
    },
  ],
  examples: [
    'bitmap-tool dump disk.qcow2 checkpoint-1',
    "bitmap-tool dump --json disk.qcow2 '#ALLOCATED'",
    'bitmap-tool dump --picture dirty.svg disk.qcow2 checkpoint-1',
  ],
  async run([image, name], options, { invoke }) {
    const { picture, chain, quiet, json } = options;
    const draw = picture === undefined ? undefined : await loadDrawing(picture);
    const { result: dump } = await invoke(options, (common) =>
      workOnImage(image, options, {
        atRest: (path) => dumpBitmap(path, name, { ...common, chain }),
        running: (qemu, { dumpRunning }, path) => dumpRunning(qemu, path, name, { ...common, chain }),
      }),
    );
    await draw?.(dump);
    if (quiet) return DONE;
    if (json) await printJsonLines(dump.columns(), printBytes, outputClosed);
    else if (picture === undefined) await printText(dump);
    else await print(`${summary(dump)}Drawn in ${printable(picture)}\n`);
    return DONE;
  },
};

/** Loads the drawing code only when needed. Checks the picture file before the work starts. */
async function loadDrawing(name: string): Promise<(dump: BitmapDump) => Promise<void>> {
  const { openPictureFile } = await import('../picture-file.ts');
  const { dumpPicture } = await import('../../picture/dump-picture.ts');
  const file = await openPictureFile(name);
  return (dump) => file.write(dumpPicture(dump, dirty(dump)));
}

async function printText(dump: BitmapDump): Promise<void> {
  await print(summary(dump));
  await print(diskPicture(dump.virtualSize, dump.dirtyShares));
  await printTextLines(dump.columns(), printBytes, outputClosed);
}

function summary({ image, name, virtualSize, granularity, dirtyBytes }: BitmapDump): string {
  return `${printable(image)}: ${printable(name)}: ${formatSize(dirtyBytes)} of ${formatSize(virtualSize)} dirty (${formatShare(dirtyBytes, virtualSize)}), granularity ${formatSize(granularity)}\n`;
}

function* dirty(dump: BitmapDump): Generator<DumpExtent> {
  for (const extent of dump.extents()) if (extent.type === 1) yield extent;
}
