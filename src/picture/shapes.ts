/**
 * SVG path data for sets of cells. A cell is one unit wide.
 */
import type { Curve } from './curve.ts';

/** The cells as rectangles one row high. Adjacent cells of a row form one rectangle. */
export function cellShapes({ x, y }: Curve, cells: Iterable<number>): string {
  const places = Array.from(cells, (cell) => y[cell]! * 65536 + x[cell]!).sort((a, b) => a - b);
  let path = '';
  for (let index = 0; index < places.length; ) {
    const first = places[index]!;
    let count = 1;
    while (places[index + count] === first + count) count++;
    path += `M${first % 65536} ${Math.floor(first / 65536)}h${count}v1h${-count}z`;
    index += count;
  }
  return path;
}

/** A square in the middle of a cell. @param side in twelfths of a cell, even */
export function dotShape({ x, y }: Curve, cell: number, side: number): string {
  const margin = (1 - side / 12) / 2;
  const length = short(side / 12);
  return `M${short(x[cell]! + margin)} ${short(y[cell]! + margin)}h${length}v${length}h-${length}z`;
}

/** The line of the curve through the centres of its cells, from the first to `end`, exclusive. */
export function curveShape({ x, y }: Curve, end: number): string {
  let path = `M${x[0]! + 0.5} ${y[0]! + 0.5}`;
  for (let cell = 1; cell < end; ) {
    const dx = x[cell]! - x[cell - 1]!;
    const dy = y[cell]! - y[cell - 1]!;
    let count = 0;
    while (cell < end && x[cell]! - x[cell - 1]! === dx && y[cell]! - y[cell - 1]! === dy) {
      count++;
      cell++;
    }
    path += dy === 0 ? `h${dx * count}` : dx === 0 ? `v${dy * count}` : `l${dx * count} ${dy * count}`;
  }
  return path;
}

function short(number: number): string {
  return String(Math.round(number * 1000) / 1000).replace(/^0\./, '.');
}
