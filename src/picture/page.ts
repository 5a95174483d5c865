/**
 * The common page of all pictures of a disk: titles, the grid, the disk as a strip, a legend, and a key.
 */
import { shortened } from '../text/shortened.ts';
import { formatSize } from '../text/size.ts';
import { curveOver } from './curve.ts';
import type { Grid } from './grid.ts';
import type { Region } from './regions.ts';
import { cellShapes, curveShape } from './shapes.ts';
import { xmlText } from './xml.ts';

export interface Page {
  readonly title: string;
  readonly subtitle: string;
  readonly facts: string;
  /** Text for people who cannot see the picture. */
  readonly description: string;
  readonly grid: Grid;
  /** Path data for each class, in units of a cell and in the order of painting. */
  readonly paints: readonly { readonly className: string; readonly path: string }[];
  readonly tips: readonly { readonly region: Region; readonly text: string }[];
  /** Class of each equal part of the disk, in order. */
  readonly strip: readonly string[];
  readonly legend: Legend;
  /** Fill colour of each class, on a light and on a dark page. */
  readonly colors: Readonly<Record<string, Shades>>;
}

export interface Legend {
  readonly svg: string;
  readonly heightPx: number;
}

export interface Shades {
  readonly light: string;
  readonly dark: string;
}

const MARGIN = 40;
/** 64 cells of 12 pixels. */
const CONTENT_WIDTH = 768;
const GRID_TOP = 138;
const MAX_CELL_PX = 64;
const STRIP_HEIGHT = 16;
const KEY_LEFT = 612;
const KEY_SIZE = 112;

const BACKGROUND: Shades = { light: '#ffffff', dark: '#0d1117' };
const TEXT: Shades = { light: '#1f2328', dark: '#e6edf3' };
const MUTED: Shades = { light: '#59636e', dark: '#9198a1' };

export function svgPage(page: Page): string {
  const { grid } = page;
  const { width, height } = grid.curve;
  const cellPx = Math.min(MAX_CELL_PX, Math.floor(CONTENT_WIDTH / width));
  const gridHeight = cellPx * height;
  const stripTop = GRID_TOP + gridHeight + 44;
  const legendTop = stripTop + 68;
  const pageWidth = CONTENT_WIDTH + 2 * MARGIN;
  const pageHeight = legendTop + Math.max(page.legend.heightPx, KEY_SIZE + 56) + 24;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${pageWidth}" height="${pageHeight}" viewBox="0 0 ${pageWidth} ${pageHeight}" role="img" aria-labelledby="title description">
<title id="title">${xmlText(page.title)}</title>
<desc id="description">${xmlText(page.description)}</desc>
<style>${style(page.colors)}</style>
<defs><pattern id="hatch" width=".5" height=".5" patternUnits="userSpaceOnUse"><path class="hatch" d="M-.1.1l.2-.2M0 .5l.5-.5M.4.6l.2-.2"/></pattern></defs>
<rect class="page" width="100%" height="100%"/>
<g transform="translate(${MARGIN})">
<text class="title" y="46">${xmlText(shortened(page.title, 56))}</text>
<text y="72">${xmlText(shortened(page.subtitle, 100))}</text>
<text class="muted" y="94">${xmlText(page.facts)}</text>
<g transform="translate(0 ${GRID_TOP}) scale(${cellPx})" shape-rendering="crispEdges">
${page.paints
  .filter(({ path }) => path !== '')
  .map(({ className, path }) => `<path class="${className}" d="${path}"/>`)
  .join('\n')}
</g>
<path class="gap" style="stroke-width:${gapPx(cellPx)}" transform="translate(0 ${GRID_TOP})" d="${gaps(width, height, cellPx)}"/>
${ends(grid, cellPx)}
<g class="tips" transform="translate(0 ${GRID_TOP}) scale(${cellPx})">
${page.tips.map(({ region, text }) => `<path d="${cellShapes(grid.curve, range(region))}"><title>${xmlText(text)}</title></path>`).join('\n')}
</g>
${strip(page, stripTop)}
<g transform="translate(0 ${legendTop})">
${page.legend.svg}
${key(grid)}
</g>
</g>
</svg>
`;
}

function style(colors: Page['colors']): string {
  const fills = (shade: keyof Shades) =>
    Object.entries(colors)
      .map(([name, shades]) => `.${name}{fill:${shades[shade]}}`)
      .join('');
  const theme = (shade: keyof Shades) =>
    `text{fill:${TEXT[shade]}}.muted{fill:${MUTED[shade]}}.page{fill:${BACKGROUND[shade]}}.gap,.hatch{stroke:${BACKGROUND[shade]}}.line,.tick{stroke:${MUTED[shade]}}.mark{stroke:${TEXT[shade]}}.spot{fill:${TEXT[shade]}}${fills(shade)}`;
  return `
text{font:14px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.title{font-size:24px;font-weight:600}.small{font-size:12px}.end{text-anchor:end}.middle{text-anchor:middle}
.gap,.line,.tick,.mark{fill:none}.line{stroke-linejoin:round;stroke-linecap:round}.mark{stroke-width:2}
.hatch{stroke-width:.16;fill:none}.zero{fill:url(#hatch)}
.tips path{fill:#fff;fill-opacity:0}.tips path:hover{fill-opacity:.3}
${theme('light')}
@media (prefers-color-scheme:dark){${theme('dark')}}
`;
}

function gapPx(cellPx: number): number {
  return cellPx >= 24 ? 2 : 1;
}

/** Lines in the page's colour between the cells. They take fewer bytes than cells with gaps. */
function gaps(width: number, height: number, cellPx: number): string {
  let path = '';
  for (let column = 0; column <= width; column++) path += `M${column * cellPx} 0v${height * cellPx}`;
  for (let row = 0; row <= height; row++) path += `M0 ${row * cellPx}h${width * cellPx}`;
  return path;
}

/** Marks the start and the end of the disk. */
function ends({ curve, cellCount, virtualSizeBytes }: Grid, cellPx: number): string {
  if (cellCount === 0) return '';
  const last = cellCount - 1;
  const cell = (index: number) =>
    `<rect class="mark" x="${curve.x[index]! * cellPx}" y="${GRID_TOP + curve.y[index]! * cellPx}" width="${cellPx}" height="${cellPx}"/>`;
  const center = (index: number) => (curve.x[index]! + 0.5) * cellPx;
  const pointer = (index: number) => {
    const x = center(index);
    const bottom = GRID_TOP + curve.y[index]! * cellPx - 4;
    return `<path class="spot" d="M${x - 4} ${bottom - 7}h8l-4 7z"/>`;
  };
  const size = formatSize(virtualSizeBytes);
  const end =
    last > 0 && curve.y[last] === 0
      ? `${pointer(last)}<text class="small end" x="${center(last) - 9}" y="${GRID_TOP - 4}">${size}</text>`
      : '';
  return `${pointer(0)}<text class="small" x="${center(0) + 9}" y="${GRID_TOP - 4}">0</text>${end}${cell(0)}${last > 0 ? cell(last) : ''}`;
}

/** The disk from left to right, with a scale. */
function strip({ strip: classes, grid }: Page, top: number): string {
  const partPx = CONTENT_WIDTH / classes.length;
  let bars = '';
  for (let first = 0; first < classes.length; ) {
    let end = first + 1;
    while (end < classes.length && classes[end] === classes[first]) end++;
    bars += `<path class="${classes[first]}" d="M${round(first * partPx)} ${top}H${round(end * partPx)}v${STRIP_HEIGHT}H${round(first * partPx)}z"/>`;
    first = end;
  }
  const ticks = [0, 1, 2, 3, 4].map((quarter) => {
    const x = (CONTENT_WIDTH * quarter) / 4;
    const anchor = quarter === 0 ? '' : quarter === 4 ? ' end' : ' middle';
    const bottom = top + STRIP_HEIGHT;
    return `<path class="tick" d="M${x} ${bottom + 2}v4"/><text class="small muted${anchor}" x="${x}" y="${bottom + 20}">${quarter === 0 ? '0' : formatSize((grid.virtualSizeBytes / 4) * quarter)}</text>`;
  });
  return `<text class="small muted" y="${top - 8}">The same from start to end</text>
<g shape-rendering="crispEdges">${bars}</g>${ticks.join('')}`;
}

/** A small copy of the curve, and the size of a cell. */
function key({ curve, cellBytes, cellCount, virtualSizeBytes }: Grid): string {
  const width = Math.min(8, curve.width);
  let height = Math.max(1, Math.round((width * curve.height) / curve.width));
  if (width % 2 === 0 && height % 2 === 1 && height > 1) height++;
  const small = curveOver(width, height);
  const count = Math.max(1, Math.round((small.x.length * cellCount) / curve.x.length));
  const px = KEY_SIZE / Math.max(small.width, small.height);
  const place = (index: number) =>
    `cx="${round((small.x[index]! + 0.5) * px)}" cy="${round((small.y[index]! + 0.5) * px)}"`;
  return `<g transform="translate(${KEY_LEFT})">
<text class="small" y="0">1 cell = ${formatSize(cellBytes)}</text>
<g transform="translate(${round(5 - px / 2)} 10)"><path class="line" transform="scale(${round(px)})" style="stroke-width:${round(2 / px)}" d="${curveShape(small, count)}"/><circle class="spot" ${place(0)} r="4"/><circle class="mark page" ${place(count - 1)} r="4"/></g>
<text class="small muted" y="${round(height * px + 30)}">The disk follows this line</text>
<text class="small muted" y="${round(height * px + 46)}">from ● 0 to ○ ${formatSize(virtualSizeBytes)}</text>
</g>`;
}

function* range({ start, end }: Region): Generator<number> {
  for (let cell = start; cell < end; cell++) yield cell;
}

function round(number: number): number {
  return Math.round(number * 100) / 100;
}
