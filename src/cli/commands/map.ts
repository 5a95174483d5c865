/**
 * bitmap-tool map
 */
import { extentsOf } from '../../guest/allocation/map-columns.ts';
import { mapInBatches } from '../../operations/map-allocation.ts';
import { printable } from '../../text/printable.ts';
import type { CommandDefinition } from '../command.ts';
import { COMMON_OPTIONS, type CommonOptions } from '../common-options.ts';
import { DONE } from '../errors.ts';
import { FILE } from '../option.ts';
import { outputClosed, print, printBytes } from '../output.ts';
import { pictureMap } from '../picture-map.ts';
import { jsonMapLines, type MapLines, textMapLines } from '../print/map-lines.ts';
import { isTerminal } from '../terminal.ts';

interface MapFlags extends CommonOptions {
  layer?: boolean;
  picture?: string;
}

export const mapCommand: CommandDefinition<[string], MapFlags> = {
  arguments: [{ usage: '<image>', description: 'qcow2 or raw image', completes: FILE }],
  options: [
    ...COMMON_OPTIONS,
    { flags: '--layer', description: 'only what this image itself holds' },
    {
      flags: '--picture <file.svg>',
      description: 'draw it as an SVG picture instead of listing it; with --json do both',
      completes: FILE,
    },
  ],
  examples: [
    'bitmap-tool map --json disk.qcow2',
    'bitmap-tool map --layer disk.qcow2',
    'bitmap-tool map --picture chain.svg disk.qcow2',
  ],
  async run([image], options, { invoke }) {
    const { layer, picture: file } = options;
    const picture = file === undefined ? undefined : await pictureMap(file, layer === true);
    const show = linesFor(options, picture !== undefined);
    // On a terminal, the printed lines show the progress. The spinner would disturb them.
    const progress = options.progress && !(show !== undefined && isTerminal('stdout'));
    await invoke({ ...options, progress }, async (common) => {
      const onImage = picture?.onImage;
      let lines: MapLines | undefined;
      for await (const { columns, gapsAreUnknown } of mapInBatches(image, { ...common, layer, onImage })) {
        picture?.add(extentsOf(columns, gapsAreUnknown));
        lines ??= show?.(gapsAreUnknown);
        if (lines !== undefined && !outputClosed()) await printBytes(lines.batch(columns));
        if (outputClosed() && picture === undefined) return;
      }
      lines ??= show?.(false);
      if (lines !== undefined) await print(lines.end());
    });
    await picture?.write();
    if (picture !== undefined && !options.quiet && !options.json)
      await print(`Drawn in ${printable(file!)}\n`);
    return DONE;
  },
};

/** With --picture, the map is listed only if --json is given. */
function linesFor(
  { quiet, json }: CommonOptions,
  isDrawn: boolean,
): ((gapsAreUnknown: boolean) => MapLines) | undefined {
  if (quiet) return undefined;
  if (json) return jsonMapLines;
  return isDrawn ? undefined : textMapLines;
}
