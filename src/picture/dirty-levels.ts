/**
 * The shades of dirty shares. A larger share contrasts more with the page. The colours are those of
 * matplotlib's plasma, which differ in lightness alone.
 */
import type { Legend, Shades } from './page.ts';
import { xmlText } from './xml.ts';

interface Level extends Shades {
  /** The largest share of this level. */
  readonly upTo: number;
  readonly label: string;
}

/** The levels are narrow at the low end: most cells of a large disk have a small dirty share. */
export const LEVELS: readonly Level[] = [
  { upTo: 0, label: 'clean', light: '#e9ecef', dark: '#22272e' },
  { upTo: 0.01, label: '≤ 1 %', light: '#fcce25', dark: '#6317b0' },
  { upTo: 0.05, label: '5', light: '#fba238', dark: '#8707a6' },
  { upTo: 0.15, label: '15', light: '#f2844b', dark: '#b12a90' },
  { upTo: 0.3, label: '30', light: '#e16462', dark: '#cc4778' },
  { upTo: 0.5, label: '50', light: '#c43e7f', dark: '#e16462' },
  { upTo: 0.75, label: '75', light: '#9c179e', dark: '#f2844b' },
  { upTo: 1 - 2 ** -52, label: '< 100', light: '#6300a7', dark: '#fdae32' },
  { upTo: 1, label: '100 %', light: '#1b068d', dark: '#f0f921' },
];

const SWATCH_WIDTH = 56;

/** The smallest mark is visible, and only a full cell looks full. */
export function levelOf(share: number): number {
  return LEVELS.findIndex(({ upTo }) => share <= upTo);
}

export function levelColors(): Record<string, Shades> {
  return Object.fromEntries(LEVELS.map(({ light, dark }, level) => [`d${level}`, { light, dark }]));
}

/** @param touchedCount number of cells with a mark */
export function dirtyLegend(touchedCount: number, cellCount: number): Legend {
  const swatches = LEVELS.map(({ label }, level) => {
    const x = level * SWATCH_WIDTH + (level === 0 ? 0 : 6);
    return `<rect class="d${level}" x="${x}" y="10" width="${SWATCH_WIDTH}" height="16"/><text class="small muted middle" x="${x + SWATCH_WIDTH / 2}" y="44">${xmlText(label)}</text>`;
  });
  return {
    svg: `<text class="small" y="0">How much of a cell is dirty</text><g shape-rendering="crispEdges">${swatches.join('')}</g><text class="small" y="74">${touchedCount} of ${cellCount} cells have something dirty</text>`,
    heightPx: 78,
  };
}
