/**
 * A colour for each image of a chain. The colours are Okabe and Ito's, which colour-blind people can
 * distinguish. In a long chain the images with the least data share one colour.
 */
import type { Shades } from './page.ts';

const COLORS: readonly Shades[] = [
  { light: '#d55e00', dark: '#e8702a' },
  { light: '#0072b2', dark: '#2b8fd0' },
  { light: '#e69f00', dark: '#f0b429' },
  { light: '#009e73', dark: '#1fb58a' },
  { light: '#cc79a7', dark: '#d68bb5' },
  { light: '#56b4e9', dark: '#9ad4f7' },
];

export const OTHERS: Shades = { light: '#767d86', dark: '#8b949e' };
export const NOTHING: Shades = { light: '#e9ecef', dark: '#22272e' };

/**
 * @param bytesByDepth the bytes that each image provides
 * @returns depths with their own colour, top first; at most as many as there are colours
 */
export function coloredDepths(bytesByDepth: ReadonlyMap<number, number>): number[] {
  const bySize = Array.from(bytesByDepth).sort(([, a], [, b]) => b - a);
  const most = bySize.slice(0, COLORS.length).map(([depth]) => depth);
  // A new bitmap would mark the data of the top image, so it always has a colour.
  if (bytesByDepth.has(0) && !most.includes(0)) most[most.length - 1] = 0;
  return most.sort((a, b) => a - b);
}

export function colorAt(index: number): Shades {
  return COLORS[index]!;
}
