/**
 * bitmap-tool list
 */
import { type ListedBitmap, type ListedImage, listBitmaps } from '../../operations/bitmaps/list-bitmaps.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { formatSize } from '../../text/size.ts';
import { color } from '../color.ts';
import type { CommandDefinition } from '../command.ts';
import { COMMON_OPTIONS, type CommonOptions } from '../common-options.ts';
import { DONE } from '../errors.ts';
import { FILE } from '../option.ts';
import { print } from '../output.ts';
import { SIZE_COLUMNS, sizeCells } from '../print/bitmap-columns.ts';
import { shade } from '../print/disk-picture.ts';
import { type Cell, table } from '../print/table.ts';
import { DOMAIN_OPTIONS, type DomainFlags, workOnImage } from '../qemu-option.ts';
import { terminalColumns } from '../terminal.ts';

const BAR_CELLS = 20;

export const listCommand: CommandDefinition<[string], CommonOptions & DomainFlags & { chain?: boolean }> = {
  arguments: [{ usage: '<image>', description: 'qcow2 image', completes: FILE }],
  options: [
    ...COMMON_OPTIONS,
    ...DOMAIN_OPTIONS,
    { flags: '--chain', description: 'the backing images too' },
  ],
  examples: ['bitmap-tool list disk.qcow2', 'bitmap-tool list --chain --json disk.qcow2'],
  async run([image], options, { invoke }) {
    const { chain } = options;
    const { result: list } = await invoke(options, (common) =>
      workOnImage(image, options, {
        atRest: (path) => listBitmaps(path, { ...common, chain, dirtyShareParts: dirtyShareParts(options) }),
        running: (qemu, { listRunning }, path) => listRunning(qemu, path, { ...common, chain }),
      }),
    );
    if (options.quiet) return DONE;
    if (options.json) await print(`${printableJson(list, 2)}\n`);
    else for (const each of list.layers ?? [list]) await print(describeImage(each));
    return DONE;
  },
};

/** The number of cells in the bar of marked areas. Undefined unless a terminal has room for the bar. */
function dirtyShareParts({ json, quiet }: CommonOptions): number | undefined {
  const columns = terminalColumns('stdout') ?? 0;
  return columns >= 96 && !json && !quiet ? BAR_CELLS : undefined;
}

function describeImage({ image, virtualSize, format, bitmaps, stale }: ListedImage): string {
  const title = `${printable(image)} (${format}, ${formatSize(virtualSize)})`;
  if (stale)
    return `${title}: its bitmaps are not valid: software without support for bitmaps changed the image\n`;
  if (bitmaps.length === 0) return `${title}: no bitmaps\n`;
  const hasBars = bitmaps.some(({ dirtyShares }) => dirtyShares !== undefined);
  const rows = bitmaps.map((bitmap) => [
    `  ${printable(bitmap.name)}`,
    stateOf(bitmap),
    ...sizeCells(bitmap, virtualSize),
    bitmap.running === undefined ? formatSize(bitmap.diskBytes) : '-',
    ...(hasBars ? [(bitmap.dirtyShares ?? []).map(shade).join('')] : []),
  ]);
  return `${title}\n${table(
    [
      { title: '  bitmap' },
      { title: 'state' },
      ...SIZE_COLUMNS,
      { title: 'on disk', align: 'right' },
      ...(hasBars ? [{ title: 'where, from start to end' }] : []),
    ],
    rows,
  )}`;
}

function stateOf({ flags, running }: ListedBitmap): Cell {
  if (running !== undefined) return runningState(flags, running);
  if (flags.includes('in-use')) return { text: 'in use or broken', paint: color.red };
  return flags.includes('auto') ? 'enabled' : { text: 'disabled', paint: color.yellow };
}

/** Uses QEMU's own terms. */
function runningState(
  flags: ListedBitmap['flags'],
  { persistent, busy }: NonNullable<ListedBitmap['running']>,
): Cell {
  if (flags.includes('in-use')) return { text: 'inconsistent', paint: color.red };
  const states = [
    flags.includes('auto') ? 'recording' : 'disabled',
    ...(busy ? ['busy'] : []),
    ...(persistent ? [] : ['not persistent']),
  ];
  return states.join(', ');
}
