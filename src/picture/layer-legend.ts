/**
 * The legend of a map: the colours, and the bytes that each image provides.
 */
import { shortened } from '../text/shortened.ts';
import { formatSize } from '../text/size.ts';
import { sumOf } from './cell-sums.ts';
import type { OriginSums } from './layer-sums.ts';
import type { Legend } from './page.ts';
import { xmlText } from './xml.ts';

const ROW_HEIGHT = 24;
const DATA_RIGHT = 470;
const ZEROS_RIGHT = 560;

/** The file name without its folder, if it is unique among the images. Otherwise the path. */
export function nameIn(images: readonly string[], depth: number): string {
  const path = images[depth] ?? `image ${depth}`;
  const own = baseOf(path);
  return own !== '' && images.every((each, index) => index === depth || baseOf(each) !== own) ? own : path;
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/**
 * @param depths the depths with their own colour
 * @param images the images of the chain, top first
 */
export function layerLegend(
  all: readonly OriginSums[],
  depths: readonly number[],
  images: readonly string[],
  hasDots: boolean,
): Legend {
  const rows: string[] = [];
  const bytes = (kind: string, isWanted: (depth: number) => boolean) =>
    all.reduce(
      (sum, { origin, sums }) =>
        origin.kind === kind && (!('depth' in origin) || isWanted(origin.depth)) ? sum + sumOf(sums) : sum,
      0,
    );
  const row = (className: string, name: string, data: number, zeros: number) => {
    const y = 14 + rows.length * ROW_HEIGHT;
    const cell = (right: number, size: number) =>
      size === 0 ? '' : `<text class="end" x="${right}" y="${y + 12}">${formatSize(size)}</text>`;
    rows.push(
      `<rect class="${className}" y="${y}" width="16" height="16"/><text x="26" y="${y + 12}">${xmlText(name)}</text>${cell(DATA_RIGHT, data)}${cell(ZEROS_RIGHT, zeros)}`,
    );
  };
  for (const depth of depths) {
    const name = shortened(nameIn(images, depth), 36);
    const role = depth === 0 ? 'top' : String(depth);
    row(
      `l${depth}`,
      `${role}: ${name}`,
      bytes('data', (each) => each === depth),
      bytes('zero', (each) => each === depth),
    );
  }
  const isOther = (depth: number) => !depths.includes(depth);
  const [otherData, otherZeros] = [bytes('data', isOther), bytes('zero', isOther)];
  if (otherData + otherZeros > 0) row('others', 'other images', otherData, otherZeros);
  const gap = bytes('nothing', () => true);
  if (gap > 0) row('nothing', 'in no image: reads as zeros', 0, gap);
  const below = bytes('below', () => true);
  if (below > 0) row('nothing', `not in this image: ${formatSize(below)}`, 0, 0);

  const bottom = 14 + rows.length * ROW_HEIGHT;
  const hasZeros = bytes('zero', () => true) > 0;
  const hatch = `<rect class="others" y="${bottom + 4}" width="16" height="16"/><g transform="translate(0 ${bottom + 4}) scale(16)"><rect class="zero" width="1" height="1"/></g><text class="small muted" x="26" y="${bottom + 16}">zero clusters that an image holds</text>`;
  const dotTop = bottom + 4 + (hasZeros ? ROW_HEIGHT : 0);
  const dot = `<rect class="nothing" y="${dotTop}" width="16" height="16"/><rect class="others" x="4" y="${dotTop + 4}" width="8" height="8"/><text class="small muted" x="26" y="${dotTop + 12}">a dot has the colour of the second largest part of a cell</text>`;
  return {
    svg: `<text class="small" y="0">Which image holds it</text><text class="small muted end" x="${DATA_RIGHT}" y="0">data</text><text class="small muted end" x="${ZEROS_RIGHT}" y="0">zeros</text>${rows.join('\n')}${hasZeros ? hatch : ''}${hasDots ? dot : ''}`,
    heightPx: dotTop + (hasDots ? ROW_HEIGHT : 0),
  };
}
