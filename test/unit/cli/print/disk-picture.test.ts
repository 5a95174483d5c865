/** The picture of a disk shows every mark, and only full cells as full. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cleanBitmap, markRange } from '../../../../src/bitmap/dirty-bitmap.ts';
import { dirtyShares } from '../../../../src/bitmap/dirty-shares.ts';
import type { ByteRange } from '../../../../src/bytes/range.ts';
import { diskPicture } from '../../../../src/cli/print/disk-picture.ts';

/** The cells of all rows; the last line is the legend. */
function cells(picture: string): string {
  const rows = picture.trimEnd().split('\n').slice(0, -1);
  return rows.map((row) => row.split(' ').at(-1)).join('');
}

const MIB = 2 ** 20;

/** The picture of a disk with these marks. */
function pictureOf(size: number, ...marked: ByteRange[]): string {
  const bitmap = cleanBitmap(size, 9);
  for (const { offset, length } of marked) markRange(bitmap, offset, length);
  return diskPicture(size, (count) => dirtyShares(bitmap, count));
}

describe('the picture of a disk', () => {
  test('has 256 cells in four rows with offsets, and states the size of a cell', () => {
    expect(pictureOf(256 * MIB, { offset: 64 * MIB, length: 64 * MIB })).toBe(
      [
        `      0 B ${'·'.repeat(64)}`,
        `   64 MiB ${'█'.repeat(64)}`,
        `  128 MiB ${'·'.repeat(64)}`,
        `  192 MiB ${'·'.repeat(64)}`,
        '          each character is 1 MiB: · clean, ░▒▓ partly dirty, █ dirty',
        '',
      ].join('\n'),
    );
  });

  test.each([
    [512, 1],
    [5 * 512, 5],
    [256 * 512, 256],
    [10 * MIB + 512, 256],
  ])('of %i bytes has %i cells', (size, count) => {
    expect(cells(pictureOf(size))).toBe('·'.repeat(count));
    expect(cells(pictureOf(size, { offset: 0, length: size }))).toBe('█'.repeat(count));
  });

  test('of 0 bytes marks nothing', () => {
    expect(cells(pictureOf(0))).toMatch(/^·?$/);
    expect(pictureOf(0)).not.toContain('NaN');
  });

  test('shades a cell by its marked share', () => {
    const marked = [0, 512, 300_032, 400_384, 700_416, 1_000_448, MIB - 512, MIB].map((length, cell) => ({
      offset: cell * MIB,
      length,
    }));
    expect(cells(pictureOf(256 * MIB, ...marked)).slice(0, 9)).toBe('·░░▒▓▓▓█·');
  });

  test('shows every mark, and full cells only if all is marked', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2000 }),
        fc.array(fc.tuple(fc.nat(1999), fc.integer({ min: 1, max: 300 })), { maxLength: 6 }),
        (sectors, ranges) => {
          const dirty = Array.from({ length: sectors }, (_, sector) =>
            ranges.some(([start, length]) => sector >= start && sector < start + length),
          );
          const marked = dirty.flatMap((isDirty, sector) =>
            isDirty ? [{ offset: sector * 512, length: 512 }] : [],
          );
          const shown = cells(pictureOf(sectors * 512, ...marked));
          const count = Math.min(sectors, 256);
          const expected = Array.from({ length: count }, (_, cell) => {
            const start = Math.floor((cell * sectors) / count + 1e-9);
            const end = Math.ceil(((cell + 1) * sectors) / count - 1e-9);
            const own = dirty.slice(start, end);
            return own.every((isDirty) => isDirty) ? '█' : own.includes(true) ? '▒' : '·';
          });
          expect(shown.replaceAll(/[░▓]/g, '▒')).toBe(expected.join(''));
        },
      ),
      // A mark that ends on the border of two cells, where a border in fractions of a byte would spill over.
      { examples: [[1335, [[631, 6]]]] },
    );
  });
});
