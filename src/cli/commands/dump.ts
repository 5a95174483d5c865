/**
 * bitmap-tool dump
 */
import { Command } from 'commander';
import { type BitmapDump, type DumpExtent, dumpBitmap } from '../../operations/bitmaps/dump-bitmap.ts';
import { printable } from '../../text/printable.ts';
import { formatShare, formatSize } from '../../text/size.ts';
import { addCommonOptions, type CommonOptions } from '../common-options.ts';
import { invoke } from '../invocation.ts';
import { outputClosed, print } from '../output.ts';
import { diskPicture } from '../print/disk-picture.ts';
import { addQemuOption, type QemuFlag, withQemu } from '../qemu-option.ts';

interface DumpFlags extends CommonOptions, QemuFlag {
  picture?: string;
  chain?: boolean;
}

export function dumpCommand(): Command {
  return addQemuOption(addCommonOptions(new Command('dump')))
    .description('show the dirty parts of a stored bitmap; #ALLOCATED stands for what the image itself holds')
    .argument('<image>', 'qcow2 image')
    .argument('<bitmap>', 'name of a bitmap, or #ALLOCATED')
    .option('--chain', 'united with the bitmaps of that name of all backing images, as a backup takes them')
    .option('--picture <file.svg>', 'draw it as an SVG picture instead of listing it; with --json do both')
    .addHelpText(
      'after',
      "\nExamples:\n  bitmap-tool dump disk.qcow2 checkpoint-1\n  bitmap-tool dump --json disk.qcow2 '#ALLOCATED'\n  bitmap-tool dump --picture dirty.svg disk.qcow2 checkpoint-1",
    )
    .action(async (image: string, name: string, options: DumpFlags) => {
      const { picture, chain, quiet, json } = options;
      const draw = picture === undefined ? undefined : await openDrawing(picture);
      const dump = await invoke(options, (common) =>
        options.qmp === undefined
          ? dumpBitmap(image, name, { ...common, chain })
          : withQemu(options.qmp, (qemu, { dumpRunning }) =>
              dumpRunning(qemu, image, name, { ...common, chain }),
            ),
      );
      await draw?.(dump);
      if (quiet) return;
      if (json) await printJson(dump);
      else if (picture === undefined) await printText(dump);
      else await print(`${summary(dump)}Drawn in ${printable(picture)}\n`);
    });
}

/** Loaded only where it is asked for; the file is looked at before the work. */
async function openDrawing(name: string): Promise<(dump: BitmapDump) => Promise<void>> {
  const { openPictureFile } = await import('../picture-file.ts');
  const { dumpPicture } = await import('../../picture/dump-picture.ts');
  const file = await openPictureFile(name);
  return (dump) => file.write(dumpPicture(dump, dirty(dump)));
}

async function printJson({ extents }: BitmapDump): Promise<void> {
  let separator = '[';
  for (const extent of extents()) {
    await print(`${separator}${JSON.stringify(extent)}`);
    separator = ',\n';
    if (outputClosed()) return;
  }
  await print(separator === '[' ? '[]\n' : ']\n');
}

async function printText(dump: BitmapDump): Promise<void> {
  await print(summary(dump));
  await print(diskPicture(dump.virtualSize, dirty(dump)));
  for (const { offset, length, description } of dump.extents()) {
    await print(`${String(offset).padStart(16)}  ${String(length).padStart(16)}  ${description}\n`);
    if (outputClosed()) return;
  }
}

function summary({ image, name, virtualSize, granularity, dirtyBytes }: BitmapDump): string {
  return `${printable(image)}: ${printable(name)}: ${formatSize(dirtyBytes)} of ${formatSize(virtualSize)} dirty (${formatShare(dirtyBytes, virtualSize)}), granularity ${formatSize(granularity)}\n`;
}

function* dirty(dump: BitmapDump): Generator<DumpExtent> {
  for (const extent of dump.extents()) if (extent.type === 1) yield extent;
}
