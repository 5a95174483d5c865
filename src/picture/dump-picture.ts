/**
 * The picture of a dirty bitmap: each cell has the shade of its dirty share.
 */
import { formatShare, formatSize } from '../text/size.ts';
import { addRange, emptySums, sumOf } from './cell-sums.ts';
import { dirtyLegend, LEVELS, levelColors, levelOf } from './dirty-levels.ts';
import { exactSize } from './exact-size.ts';
import { bytesIn, type Grid, gridFor } from './grid.ts';
import { svgPage } from './page.ts';
import { regionsOf } from './regions.ts';
import { cellShapes } from './shapes.ts';
import { stripOf } from './strip.ts';

export interface PicturedBitmap {
  readonly image: string;
  readonly name: string;
  readonly virtualSize: number;
  readonly granularity: number;
  readonly dirtyBytes: number;
}

/** @param marked parts of the disk, in bytes */
export function dumpPicture(
  bitmap: PicturedBitmap,
  marked: Iterable<{ readonly offset: number; readonly length: number }>,
): string {
  const { image, name, virtualSize, granularity, dirtyBytes } = bitmap;
  const grid = gridFor(virtualSize, granularity);
  const dirty = emptySums(grid);
  for (const { offset, length } of marked) addRange(dirty, grid, offset, length);

  const share = (first: number, end: number) => sumOf(dirty, first, end) / bytesIn(grid, first, end);
  const levels = Uint8Array.from(dirty, (_, cell) => levelOf(share(cell, cell + 1)));
  const cellsOf = (level: number) => cellIndices(levels).filter((cell) => levels[cell] === level);
  const isUniform = (level: number) => level === 0 || level === LEVELS.length - 1;
  const facts = `${formatSize(virtualSize)} disk, ${formatSize(dirtyBytes)} dirty (${formatShare(dirtyBytes, virtualSize)}), granularity ${formatSize(granularity)}`;
  return svgPage({
    title: name,
    subtitle: `dirty bitmap in ${image}`,
    facts,
    description: `What the dirty bitmap ${name} of ${image} marks: ${facts}.`,
    grid,
    paints: LEVELS.map((_, level) => ({
      className: `d${level}`,
      path: cellShapes(grid.curve, cellsOf(level)),
    })),
    tips: regionsOf(levels.length, (a, b) => levels[a] === levels[b] && isUniform(levels[a]!)).map(
      (region) => ({
        region,
        text: tip(grid, region.start, region.end, sumOf(dirty, region.start, region.end)),
      }),
    ),
    strip: stripOf(levels.length, (first, end) => `d${levelOf(share(first, end))}`),
    legend: dirtyLegend(levels.filter((level) => level > 0).length, levels.length),
    colors: levelColors(),
  });
}

function tip(grid: Grid, first: number, end: number, dirtyBytes: number): string {
  const start = first * grid.cellBytes;
  const size = bytesIn(grid, first, end);
  const what =
    dirtyBytes === 0
      ? 'clean'
      : dirtyBytes === size
        ? 'dirty'
        : `${formatShare(dirtyBytes, size)} dirty (${formatSize(dirtyBytes)})`;
  return `${exactSize(start)} – ${exactSize(start + size)}: ${what}`;
}

function cellIndices(levels: Uint8Array): number[] {
  return Array.from(levels.keys());
}
