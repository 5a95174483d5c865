/**
 * bitmap-tool dump
 */
import { Command } from 'commander';
import { type BitmapDump, type DumpExtent, dumpBitmap } from '../../operations/dump-bitmap.ts';
import { addCommonOptions, type CommonOptions } from '../common-options.ts';
import { invoke } from '../invocation.ts';
import { outputClosed, print } from '../output.ts';
import { diskPicture } from '../print/disk-picture.ts';
import { printable } from '../print/printable.ts';
import { formatShare, formatSize } from '../print/size.ts';

export function dumpCommand(): Command {
  return addCommonOptions(new Command('dump'))
    .description('show the dirty parts of a stored bitmap; #ALLOCATED stands for what the image itself holds')
    .argument('<image>', 'qcow2 image')
    .argument('<bitmap>', 'name of a bitmap, or #ALLOCATED')
    .addHelpText(
      'after',
      "\nExamples:\n  bitmap-tool dump disk.qcow2 checkpoint-1\n  bitmap-tool dump --json disk.qcow2 '#ALLOCATED'",
    )
    .action(async (image: string, name: string, options: CommonOptions) => {
      const dump = await invoke(options, (common) => dumpBitmap(image, name, common));
      if (options.quiet) return;
      await (options.json ? printJson(dump) : printText(dump));
    });
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
  const { image, name, virtualSize, granularity, dirtyBytes } = dump;
  await print(
    `${printable(image)}: ${printable(name)}: ${formatSize(dirtyBytes)} of ${formatSize(virtualSize)} dirty (${formatShare(dirtyBytes, virtualSize)}), granularity ${formatSize(granularity)}\n`,
  );
  await print(diskPicture(virtualSize, dirty(dump)));
  for (const { offset, length, description } of dump.extents()) {
    await print(`${String(offset).padStart(16)}  ${String(length).padStart(16)}  ${description}\n`);
    if (outputClosed()) return;
  }
}

function* dirty(dump: BitmapDump): Generator<DumpExtent> {
  for (const extent of dump.extents()) if (extent.type === 1) yield extent;
}
