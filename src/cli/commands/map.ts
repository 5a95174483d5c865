/**
 * bitmap-tool map
 */
import { Command } from 'commander';
import type { MapExtent } from '../../guest/allocation/chain-map.ts';
import { mapAllocation } from '../../operations/map-allocation.ts';
import { printable } from '../../text/printable.ts';
import { addCommonOptions, type CommonOptions } from '../common-options.ts';
import { invoke } from '../invocation.ts';
import { outputClosed, print } from '../output.ts';
import { pictureMap } from '../picture-map.ts';

const WIDTH = 16;

export function mapCommand(): Command {
  return addCommonOptions(new Command('map'))
    .description('show which image of the chain holds each part of the disk, as qemu-img map does')
    .argument('<image>', 'qcow2 or raw image')
    .option('--layer', 'only what this image itself holds')
    .option('--picture <file.svg>', 'draw it as an SVG picture instead of listing it; with --json do both')
    .addHelpText(
      'after',
      '\nExamples:\n  bitmap-tool map --json disk.qcow2\n  bitmap-tool map --layer disk.qcow2\n  bitmap-tool map --picture chain.svg disk.qcow2',
    )
    .action(async (image: string, options: CommonOptions & { layer?: boolean; picture?: string }) => {
      const { layer, picture: file } = options;
      const picture = file === undefined ? undefined : await pictureMap(file, layer === true);
      const show = linesFor(options, picture !== undefined);
      // Lines that come at a terminal are progress enough, and the spinner would be in their way.
      const progress = options.progress && !(show !== undefined && process.stdout.isTTY);
      await invoke({ ...options, progress }, async (common) => {
        const onImage = picture?.onImage;
        for await (const batch of mapAllocation(image, { ...common, layer, onImage })) {
          picture?.add(batch);
          if (show !== undefined && !outputClosed()) await print(show.batch(batch));
          if (outputClosed() && picture === undefined) return;
        }
        if (show !== undefined) await print(show.end());
      });
      await picture?.write();
      if (picture !== undefined && !options.quiet && !options.json)
        await print(`Drawn in ${printable(file!)}\n`);
    });
}

/** Nothing is listed where a picture is asked for, but for scripts. */
function linesFor({ quiet, json }: CommonOptions, isDrawn: boolean): Lines | undefined {
  if (quiet) return undefined;
  if (json) return jsonLines();
  return isDrawn ? undefined : textLines();
}

interface Lines {
  batch(extents: readonly MapExtent[]): string;
  end(): string;
}

/** One array over all batches, an extent a line. */
function jsonLines(): Lines {
  let separator = '[';
  return {
    batch(extents) {
      let text = '';
      for (const extent of extents) {
        text += `${separator}${json(extent)}`;
        separator = ',\n';
      }
      return text;
    },
    end: () => (separator === '[' ? '[]\n' : ']\n'),
  };
}

/** There may be millions of them, and JSON.stringify takes twice as long. */
function json({ start, length, depth, present, zero, data, compressed, offset }: MapExtent): string {
  const place = offset === undefined ? '' : `,"offset":${offset}`;
  return `{"start":${start},"length":${length},"depth":${depth},"present":${present},"zero":${zero},"data":${data},"compressed":${compressed}${place}}`;
}

function textLines(): Lines {
  const row = (cells: readonly (string | number)[]) =>
    `${cells.map((cell, index) => (index < 2 ? String(cell).padStart(WIDTH) : String(cell).padEnd(8))).join('  ')}`.trimEnd();
  let title = `${row(['start', 'length', 'depth', 'what', 'at'])}\n`;
  const take = () => {
    const text = title;
    title = '';
    return text;
  };
  return {
    batch: (extents) =>
      `${take()}${extents.map((extent) => `${row([extent.start, extent.length, extent.depth, what(extent), extent.offset ?? ''])}\n`).join('')}`,
    end: take,
  };
}

function what({ present, zero, compressed }: MapExtent): string {
  if (!present) return zero ? 'none' : 'backing';
  if (compressed) return 'compr.';
  return zero ? 'zero' : 'data';
}
