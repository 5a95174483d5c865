/** The curve fills its rectangle, and neighbours on the disk stay close. */
import { expect, test } from 'vitest';
import { type Curve, curveOver } from '../../../src/picture/curve.ts';
import { bytesIn, gridFor } from '../../../src/picture/grid.ts';
import { expectEqual } from '../../support/expect-equal.ts';

/** Cells that are not next to the previous one. */
function jumps({ x, y }: Curve): number[] {
  return Array.from(x.keys())
    .slice(1)
    .filter((cell) => Math.abs(x[cell]! - x[cell - 1]!) + Math.abs(y[cell]! - y[cell - 1]!) !== 1);
}

function visited({ x, y, width }: Curve): number {
  return new Set(Array.from(x, (column, cell) => y[cell]! * width + column)).size;
}

test('the curve begins at the top left and visits every cell exactly once', () => {
  for (let width = 1; width <= 24; width++) {
    for (let height = 1; height <= 24; height++) {
      const curve = curveOver(width, height);
      const corners = [curve.x[0], curve.y[0], Math.max(...curve.x), Math.max(...curve.y)];
      expectEqual([visited(curve), ...corners], [width * height, 0, 0, width - 1, height - 1]);
      expect(jumps(curve).length).toBeLessThanOrEqual(1);
    }
  }
});

test('a grid has only a few more cells than necessary, and each cell is next to the previous one', () => {
  for (let cells = 1; cells <= 4096; cells += cells < 300 ? 1 : 37) {
    const { curve, cellCount, cellBytes } = gridFor(cells * 65536 - 1, 65536);
    expectEqual([cellCount, cellBytes], [cells, 65536]);
    expectEqual([visited(curve), jumps(curve)], [curve.width * curve.height, []]);
    expect(curve.width * curve.height - cells).toBeGreaterThanOrEqual(0);
    expect(curve.width * curve.height - cells).toBeLessThanOrEqual(Math.max(6, cells * 0.05));
  }
});

test.each([
  ['10 MiB', 10 * 2 ** 20, 65536, 160],
  ['64 MiB', 64 * 2 ** 20, 65536, 1024],
  ['1 TiB', 2 ** 40, 2 ** 28, 4096],
  ['16 TiB', 2 ** 44, 2 ** 32, 4096],
])(
  'a disk of %s is divided into cells that cover it, each with a power of two bytes',
  (_, sizeBytes, cellBytes, cellCount) => {
    const grid = gridFor(sizeBytes, 65536);
    expect(grid).toMatchObject({ cellBytes, cellCount });
    expect(bytesIn(grid, 0, cellCount)).toBe(sizeBytes);
  },
);
