/**
 * bitmap-tool checkpoint-xml
 */
import {
  type CheckpointDocuments,
  checkpointsOfFiles,
  checkpointsOfImages,
} from '../../operations/checkpoints/write-checkpoint-xml.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { shellWord } from '../../text/shell-word.ts';
import { writeCheckpoints } from '../checkpoint-folder.ts';
import { CHECKPOINT_OPTIONS, type CheckpointFlags } from '../checkpoint-options.ts';
import type { CommandDefinition } from '../command.ts';
import { COMMON_OPTIONS, type CommonOptions } from '../common-options.ts';
import { CommandLineError, DONE } from '../errors.ts';
import { FILE, FREE } from '../option.ts';
import { print } from '../output.ts';

interface CheckpointXmlFlags extends CommonOptions, CheckpointFlags {
  name?: string[];
  parent?: string;
  time?: number;
  output?: string;
}

export const checkpointXmlCommand: CommandDefinition<[string[]], CheckpointXmlFlags> = {
  arguments: [
    {
      usage: '[image...]',
      description: 'the active image of each disk of one guest; not with --checkpoints',
      completes: FILE,
    },
  ],
  options: [
    ...COMMON_OPTIONS,
    ...CHECKPOINT_OPTIONS,
    {
      flags: '-n, --name <name>',
      description:
        'a checkpoint, repeatable, the oldest first: each is the parent of the next; without it the only one that libvirt would accept',
      completes: FREE,
      isRepeatable: true,
    },
    {
      flags: '--parent <name>',
      description: 'the parent of the first one; libvirt must know it already',
      completes: FREE,
    },
    {
      flags: '--time <seconds>',
      description: 'when the first one was created, in seconds since 1970; without it now',
      completes: FREE,
      parse: parseTime,
    },
    {
      flags: '--output <folder>',
      description: 'write one file for each checkpoint, in the order of their names',
      completes: FILE,
    },
  ],
  examples: [
    'bitmap-tool checkpoint-xml --disk vda disk.qcow2 > c1.xml',
    'bitmap-tool checkpoint-xml -n c1 -n c2 --disk vda --disk vdb --output again vda.qcow2 vdb.qcow2',
    'bitmap-tool checkpoint-xml --checkpoints /backup/vm1/checkpoints --output again',
  ],
  notes: `Then, with the guest running:
  for file in again/*.xml; do virsh checkpoint-create vm1 "$file" --redefine --redefine-validate || break; done`,
  async run([images], flags, { invoke }) {
    const result = await invoke(flags, (common) => {
      const { name: names, parent, time, disk: disks, checkpoints } = flags;
      if (checkpoints === undefined) {
        if (images.length === 0) throw new CommandLineError('an image is needed, or --checkpoints');
        return checkpointsOfImages(images, { ...common, names, parent, time, disks });
      }
      const other = [...images, names, parent, time, disks].find((each) => each !== undefined);
      if (other !== undefined) {
        throw new CommandLineError(
          '--checkpoints cannot be combined with images, --name, --parent, --time or --disk',
          'The XML already has this information.',
        );
      }
      return checkpointsOfFiles(checkpoints, common);
    });
    await show(result, flags);
    return DONE;
  },
};

async function show({ schema, checkpoints }: CheckpointDocuments, flags: CheckpointXmlFlags): Promise<void> {
  const { output, json, quiet } = flags;
  if (output === undefined && !json && checkpoints.length > 1) {
    throw new CommandLineError(
      `${checkpoints.length} checkpoints, and virsh takes one at a time`,
      'Write each to its own file with --output FOLDER, or choose one with --name, or use --json.',
    );
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
  throw new CommandLineError(
    `"${text}" is not a time: use whole seconds since 1970, as "date +%s" prints them`,
  );
}
