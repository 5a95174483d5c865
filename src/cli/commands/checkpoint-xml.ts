/**
 * bitmap-tool checkpoint-xml
 */
import { Command, Option } from 'commander';
import { UsageError } from '../../errors.ts';
import {
  type CheckpointDocuments,
  checkpointsOfFiles,
  checkpointsOfImages,
} from '../../operations/checkpoints/write-checkpoint-xml.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { shellWord } from '../../text/shell-word.ts';
import { writeCheckpoints } from '../checkpoint-folder.ts';
import { addCheckpointOptions, type CheckpointFlags } from '../checkpoint-options.ts';
import { addCommonOptions, type CommonOptions } from '../common-options.ts';
import { invoke } from '../invocation.ts';
import { print } from '../output.ts';
import { listOf } from '../source-options.ts';

interface CheckpointXmlFlags extends CommonOptions, CheckpointFlags {
  name?: string[];
  parent?: string;
  time?: number;
  output?: string;
}

export function checkpointXmlCommand(): Command {
  return addCheckpointOptions(addCommonOptions(new Command('checkpoint-xml')))
    .description('print checkpoints as the XML that "virsh checkpoint-create --redefine" takes')
    .argument('[image...]', 'the active image of each disk of one machine, unless --checkpoints says it all')
    .addOption(
      new Option(
        '-n, --name <name>',
        'a checkpoint, repeatable, the oldest first: each is the parent of the next; without it the only one that libvirt would accept',
      ).argParser(listOf),
    )
    .option('--parent <name>', 'the parent of the first one; libvirt must know it already')
    .addOption(
      new Option(
        '--time <seconds>',
        'when the first one was created, in seconds since 1970; without it now',
      ).argParser(parseTime),
    )
    .option('--output <folder>', 'write one file for each checkpoint, in the order of their names')
    .addHelpText(
      'after',
      `
Examples:
  bitmap-tool checkpoint-xml --disk vda disk.qcow2 > c1.xml
  bitmap-tool checkpoint-xml -n c1 -n c2 --disk vda --disk vdb --output again vda.qcow2 vdb.qcow2
  bitmap-tool checkpoint-xml --checkpoints /backup/vm1/checkpoints --output again

Then, with the guest running:
  for file in again/*.xml; do virsh checkpoint-create vm1 "$file" --redefine --redefine-validate || break; done`,
    )
    .action(async (images: string[], flags: CheckpointXmlFlags) => {
      const result = await invoke(flags, (common) => {
        const { name: names, parent, time, disk: disks, checkpoints } = flags;
        if (checkpoints === undefined) {
          if (images.length === 0) throw new UsageError('an image is needed, or --checkpoints');
          return checkpointsOfImages(images, { ...common, names, parent, time, disks });
        }
        const other = [...images, names, parent, time, disks].find((each) => each !== undefined);
        if (other !== undefined) {
          throw new UsageError('--checkpoints goes without images, --name, --parent, --time and --disk', {
            hint: 'All that these say is in the XML already.',
          });
        }
        return checkpointsOfFiles(checkpoints, common);
      });
      await show(result, flags);
    });
}

async function show({ schema, checkpoints }: CheckpointDocuments, flags: CheckpointXmlFlags): Promise<void> {
  const { output, json, quiet } = flags;
  if (output === undefined && !json && checkpoints.length > 1) {
    throw new UsageError(`${checkpoints.length} checkpoints, and virsh takes one at a time`, {
      hint: 'Let each have its file: --output FOLDER. Or take one: --name. Or --json.',
    });
  }
  const files = output === undefined ? [] : await writeCheckpoints(output, checkpoints);
  if (quiet) return;
  if (json) {
    const documents = checkpoints.map((each, index) => ({ ...each, file: files[index] ?? null }));
    await print(`${printableJson({ schema, checkpoints: documents }, 2)}\n`);
  } else if (output === undefined) {
    await print(checkpoints[0]!.xml);
  } else {
    const glob = `${shellWord(output.replace(/\/+$/, ''))}/*.xml`;
    await print(
      `${files.map((file) => `${printable(file)}\n`).join('')}Then, with the guest running:
  for file in ${printable(glob)}; do virsh checkpoint-create DOMAIN "$file" --redefine --redefine-validate || break; done\n`,
    );
  }
}

function parseTime(text: string): number {
  const seconds = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(seconds)) return seconds;
  throw new UsageError(`"${text}" is no time: write whole seconds since 1970, as date +%s prints them`);
}
