/**
 * The picture of a map. Each cell has the colour of the image with the most bytes in it. A dot shows the
 * image with the second most.
 */
import type { MapExtent } from '../guest/allocation/map-columns.ts';
import { counted } from '../text/counted.ts';
import { formatShare, formatSize } from '../text/size.ts';
import { sumOf } from './cell-sums.ts';
import { exactSize } from './exact-size.ts';
import { bytesIn, type Grid, gridFor } from './grid.ts';
import { colorAt, coloredDepths, NOTHING, OTHERS } from './layer-colors.ts';
import { layerLegend, nameIn } from './layer-legend.ts';
import { newLayerSums, type Origin, type OriginSums } from './layer-sums.ts';
import { type Shades, svgPage } from './page.ts';
import { regionsOf } from './regions.ts';
import { cellShapes, dotShape } from './shapes.ts';
import { stripOf } from './strip.ts';

export interface PicturedDisk {
  readonly image: string;
  readonly virtualSize: number;
  /** A power of two, the smallest cell size. */
  readonly granularity: number;
  /** Whether the backing images were not read. */
  readonly alone: boolean;
}

export interface MapPicture {
  add(extents: readonly MapExtent[]): void;
  /** @param images the images of the chain that were needed, top first */
  svg(images: readonly string[]): string;
}

/** A class of cells with one colour, with or without the hatch for zeros. */
interface Paint {
  readonly className: string;
  readonly isZero: boolean;
  readonly origins: OriginSums[];
}

/** Smaller shares without an image get no dot, since many small dots would be noise. */
const LEAST_GAP = 1 / 8;

export function newMapPicture(disk: PicturedDisk): MapPicture {
  const grid = gridFor(disk.virtualSize, disk.granularity);
  const sums = newLayerSums(grid);
  return { add: sums.add, svg: (images) => draw(disk, grid, sums.all(), images) };
}

function draw(disk: PicturedDisk, grid: Grid, all: OriginSums[], images: readonly string[]): string {
  const byDepth = new Map<number, number>();
  for (const { origin, sums } of all)
    if ('depth' in origin) byDepth.set(origin.depth, (byDepth.get(origin.depth) ?? 0) + sumOf(sums));
  const depths = coloredDepths(byDepth);
  const colors: Record<string, Shades> = { nothing: NOTHING, others: OTHERS };
  for (const [index, depth] of depths.entries()) colors[`l${depth}`] = colorAt(index);

  const paints = paintsOf(all, depths);
  const ranked = Array.from({ length: grid.cellCount }, (_, cell) => rank(paints, cell, cell + 1));
  const base = paints.map((): number[] => []);
  const dots = paints.map(() => '');
  for (const [cell, [first, second]] of ranked.entries()) {
    if (first === undefined) continue;
    base[first.paint]!.push(cell);
    if (second === undefined) continue;
    const share = second.bytes / bytesIn(grid, cell, cell + 1);
    if (share < LEAST_GAP && paints[second.paint]!.className === 'nothing') continue;
    dots[second.paint] += dotShape(grid.curve, cell, dotSide(share));
  }
  const bases = base.map((cells) => cellShapes(grid.curve, cells));
  const total = (kind: Origin['kind']) =>
    all.reduce((bytes, { origin, sums }) => (origin.kind === kind ? bytes + sumOf(sums) : bytes), 0);
  const parts = [
    `${formatSize(disk.virtualSize)} disk`,
    `${formatSize(total('data'))} data (${formatShare(total('data'), disk.virtualSize)})`,
    ...(total('zero') > 0 ? [`${formatSize(total('zero'))} zeros`] : []),
    disk.alone ? 'this image alone' : counted(images.length, 'image'),
  ];
  const title = disk.image.split('/').at(-1) || disk.image;
  const sameAll = (a: number, b: number) => {
    const [first, second] = ranked[a]!;
    const [other, next] = ranked[b]!;
    return second === undefined && next === undefined && first?.paint === other?.paint;
  };
  return svgPage({
    title,
    subtitle: `allocation map of ${disk.image}`,
    facts: parts.join(', '),
    description: `Which image of the chain of ${disk.image} holds each part of the disk: ${parts.join(', ')}.`,
    grid,
    paints: [...layersOf(paints, bases), ...layersOf(paints, dots)],
    tips: regionsOf(grid.cellCount, sameAll).map((region) => ({
      region,
      text: tip(grid, region.start, region.end, all, images),
    })),
    strip: stripOf(grid.cellCount, (first, end) => {
      const top = rank(paints, first, end)[0];
      return top === undefined ? 'nothing' : paints[top.paint]!.className;
    }),
    legend: layerLegend(all, depths, images, dots.join('') !== ''),
    colors,
  });
}

function paintsOf(all: readonly OriginSums[], depths: readonly number[]): Paint[] {
  const paints = new Map<string, Paint>();
  for (const each of all) {
    const className = classOf(each.origin, depths);
    const isZero = each.origin.kind === 'zero';
    const key = `${className}${isZero}`;
    const paint = paints.get(key) ?? { className, isZero, origins: [] };
    paint.origins.push(each);
    paints.set(key, paint);
  }
  return Array.from(paints.values());
}

function classOf(origin: Origin, depths: readonly number[]): string {
  if (!('depth' in origin)) return 'nothing';
  return depths.includes(origin.depth) ? `l${origin.depth}` : 'others';
}

/** The two paints with the most bytes in the cells. */
function rank(paints: readonly Paint[], first: number, end: number): { paint: number; bytes: number }[] {
  return paints
    .map(({ origins }, paint) => ({
      paint,
      bytes: origins.reduce((bytes, { sums }) => bytes + sumOf(sums, first, end), 0),
    }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 2);
}

/** Side of the dot in twelfths of a cell. The smallest dot is visible, and the area grows with the share. */
function dotSide(share: number): number {
  return share < 1 / 8 ? 4 : share < 1 / 3 ? 6 : 8;
}

/** The hatch of zeros is painted directly above their colour. */
function layersOf(paints: readonly Paint[], paths: readonly string[]): { className: string; path: string }[] {
  return paints.flatMap(({ className, isZero }, index) => {
    const path = paths[index]!;
    return isZero
      ? [
          { className, path },
          { className: 'zero', path },
        ]
      : [{ className, path }];
  });
}

function tip(
  grid: Grid,
  first: number,
  end: number,
  all: readonly OriginSums[],
  images: readonly string[],
): string {
  const start = first * grid.cellBytes;
  const size = bytesIn(grid, first, end);
  const parts = all
    .map(({ origin, sums }) => ({ origin, bytes: sumOf(sums, first, end) }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 3)
    .map(
      ({ origin, bytes }) =>
        `${bytes === size ? '' : `${formatShare(bytes, size)} `}${wordsFor(origin, images)}`,
    );
  return `${exactSize(start)} – ${exactSize(start + size)}: ${parts.join(', ')}`;
}

function wordsFor(origin: Origin, images: readonly string[]): string {
  if (origin.kind === 'nothing') return 'in no image';
  if (origin.kind === 'below') return 'not in this image';
  const name = nameIn(images, origin.depth);
  // Many tips contain the name, so a long name would make the picture large.
  const short = name.length > 24 ? `image ${origin.depth}` : name;
  return `${origin.kind === 'zero' ? 'zeros' : 'data'} in ${short}`;
}
