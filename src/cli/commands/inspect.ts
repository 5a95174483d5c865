/**
 * bitmap-tool inspect
 */
import {
  IMAGE_PARTS,
  type ImagePart,
  inspectImage,
  type StoredImage,
} from '../../operations/inspect-image.ts';
import type { StoredDirectory } from '../../stored-metadata/stored-directory.ts';
import type { StoredExtensions, StoredFields } from '../../stored-metadata/stored-header.ts';
import type { StoredRefcounts } from '../../stored-metadata/stored-refcounts.ts';
import { counted } from '../../text/counted.ts';
import { printable, printableJson } from '../../text/printable.ts';
import type { CommandDefinition } from '../command.ts';
import { COMMON_OPTIONS, type CommonOptions } from '../common-options.ts';
import { DONE } from '../errors.ts';
import { FILE } from '../option.ts';
import { print } from '../output.ts';

export const inspectCommand: CommandDefinition<[string, ImagePart[]], CommonOptions> = {
  arguments: [
    { usage: '<image>', description: 'qcow2 image', completes: FILE },
    {
      usage: '[part...]',
      description: `only these parts: ${IMAGE_PARTS.join(', ')}`,
      completes: { kind: 'choice', choices: IMAGE_PARTS },
    },
  ],
  options: COMMON_OPTIONS,
  examples: ['bitmap-tool inspect disk.qcow2', 'bitmap-tool inspect --json disk.qcow2 header extensions'],
  async run([image, parts], options, { invoke }) {
    const wanted = parts.length === 0 ? undefined : parts;
    const stored = await invoke(options, (common) => inspectImage(image, { ...common, parts: wanted }));
    if (options.quiet) return DONE;
    await print(options.json ? `${printableJson(stored, 2)}\n` : describe(stored));
    return DONE;
  },
};

function describe({ image, fileBytes, header, extensions, directory, refcounts }: StoredImage): string {
  return [
    `${printable(image)}: ${fileBytes} bytes`,
    ...(header === undefined ? [] : ['header', ...fieldLines(header)]),
    ...(extensions === undefined ? [] : extensionLines(extensions)),
    ...(directory === undefined ? [] : directoryLines(directory)),
    ...(refcounts === undefined ? [] : refcountLines(refcounts)),
    '',
  ].join('\n');
}

function extensionLines({ list, endMarkerOffset }: StoredExtensions): string[] {
  const lines = list.flatMap(({ offset, type, name, length, fields, data }) => [
    `extension ${hex(type)} at ${hex(offset)}: ${name ?? 'unknown'}, ${counted(length, 'byte')}`,
    ...fieldLines(fields),
    ...(data === null ? [] : [`  data ${data}`]),
  ]);
  const end = endMarkerOffset === null ? 'without an end marker' : `at ${hex(endMarkerOffset)}`;
  return [...lines, `extensions end ${end}`];
}

function directoryLines(directory: StoredDirectory | null): string[] {
  if (directory === null) return ['no bitmap directory'];
  const entries = directory.entries.flatMap(({ offset, name, fields }, index) => [
    `bitmap ${index} at ${hex(offset)}: ${printable(JSON.stringify(name))}`,
    ...fieldLines(fields),
  ]);
  const { cutOffAt } = directory;
  return [
    ...entries,
    ...(cutOffAt === null ? [] : [`bitmap directory cut off in the entry at ${hex(cutOffAt)}`]),
  ];
}

function refcountLines(refcounts: StoredRefcounts | null): string[] {
  if (refcounts === null) return ['no refcounts: the header refers to no refcount table'];
  const blocks = refcounts.blocks.flatMap(({ index, entry, runs }) => [
    `refcount block ${index}: ${hex(entry)}${runs === null ? ', not readable' : ''}`,
    ...(runs ?? []).map(({ firstCluster, clusters, refcount }) => {
      const [what, last] = clusters > 1 ? ['clusters', `…${firstCluster + clusters - 1}`] : ['cluster', ''];
      return `  ${`${what} ${firstCluster}${last}`.padEnd(VALUE_COLUMN)}  ${refcount}`;
    }),
  ]);
  return [...blocks, ...(refcounts.isComplete ? [] : ['more refcounts are not shown'])];
}

const VALUE_COLUMN = 24;

function fieldLines(fields: StoredFields): string[] {
  return Object.entries(fields).map(
    ([name, value]) => `  ${printable(name).padEnd(VALUE_COLUMN)}  ${shown(name, value)}`,
  );
}

/** Prints magic numbers, offsets and bit sets in hexadecimal. */
function shown(name: string, value: number | string): string {
  if (typeof value === 'string') return printable(value);
  return /^magic$|offset$|features$|^flags$/.test(name) ? hex(value) : String(value);
}

function hex(value: number | string): string {
  return typeof value === 'string' ? value : `0x${value.toString(16)}`;
}
