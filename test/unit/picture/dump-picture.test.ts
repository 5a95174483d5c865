/** The picture of a bitmap agrees with the bitmap, is well-formed and is small, for any names and sizes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addRange, emptySums, sumOf } from '../../../src/picture/cell-sums.ts';
import { LEVELS, levelOf } from '../../../src/picture/dirty-levels.ts';
import { dumpPicture } from '../../../src/picture/dump-picture.ts';
import { gridFor } from '../../../src/picture/grid.ts';
import { allElements, parseXml } from '../../support/well-formed.ts';

const TiB = 2 ** 40;

/** Separate extents in ascending order, from the lengths of gaps and marks. */
const extents = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 2 ** 34 }), fc.integer({ min: 1, max: 2 ** 34 })),
  {
    maxLength: 60,
    size: 'max',
  },
);

function laidOut(lengths: readonly (readonly [number, number])[]): { offset: number; length: number }[] {
  let end = 0;
  return lengths.map(([gap, length]) => {
    const offset = end + gap;
    end = offset + length;
    return { offset, length };
  });
}

/** Cells that are painted with a level, counted from the path data. */
function cellsOf(svg: string, level: number): number {
  const path = allElements(parseXml(svg)).find(
    ({ attributes }) =>
      attributes['class'] === `d${level}` &&
      attributes['d']?.includes('h') &&
      attributes['d'].startsWith('M'),
  );
  const runs = Array.from(path?.attributes['d']?.matchAll(/h(\d+)v1h-/g) ?? []);
  return runs.reduce((count, [, run]) => count + Number(run), 0);
}

function picture(
  virtualSize: number,
  marked: readonly { offset: number; length: number }[],
  name = 'c1',
): string {
  const dirtyBytes = marked.reduce((sum, { length }) => sum + length, 0);
  return dumpPicture({ image: 'disk.qcow2', name, virtualSize, granularity: 65536, dirtyBytes }, marked);
}

test('the bytes of all cells are the dirty bytes', () => {
  fc.assert(
    fc.property(extents, fc.integer({ min: 0, max: 2 ** 36 }), (lengths, tail) => {
      const marked = laidOut(lengths);
      const last = marked.at(-1);
      const grid = gridFor((last === undefined ? 1 : last.offset + last.length) + tail, 65536);
      const sums = emptySums(grid);
      for (const { offset, length } of marked) addRange(sums, grid, offset, length);
      expect(sumOf(sums)).toBe(marked.reduce((sum, { length }) => sum + length, 0));
      expect(Math.max(...sums)).toBeLessThanOrEqual(grid.cellBytes);
    }),
  );
});

test('every cell is painted once', () => {
  const marked = [
    { offset: 0, length: 65536 },
    { offset: 5 * 2 ** 20, length: 3 * 2 ** 20 },
  ];
  const svg = picture(10 * 2 ** 20, marked);
  expect(cellsOf(svg, 0)).toBe(160 - 1 - 48);
  expect(cellsOf(svg, LEVELS.length - 1)).toBe(1 + 48);
});

test('the smallest mark is visible, and only a full cell looks full', () => {
  expect(levelOf(0)).toBe(0);
  expect(levelOf(512 / 2 ** 33)).toBe(1);
  expect(levelOf(1)).toBe(LEVELS.length - 1);
  expect(levelOf(1 - 512 / 2 ** 33)).toBe(LEVELS.length - 2);
});

test('the picture is well-formed, with a title, a description, tooltips and a dark form', () => {
  const svg = picture(TiB, [{ offset: TiB / 2, length: 2 ** 28 }]);
  const root = parseXml(svg);
  expect(root.name).toBe('svg');
  expect(root.children.slice(0, 2).map(({ name, text }) => [name, text])).toEqual([
    ['title', 'c1'],
    [
      'desc',
      'What the dirty bitmap c1 of disk.qcow2 marks: 1 TiB disk, 256 MiB dirty (<0.1 %), granularity 64 KiB.',
    ],
  ]);
  expect(svg).toContain('@media (prefers-color-scheme:dark)');
  const tips = allElements(root)
    .filter(({ name }) => name === 'title')
    .map(({ text }) => text);
  expect(tips.slice(1)).toEqual([
    '0 B – 512 GiB: clean',
    '512 GiB – 524544 MiB: dirty',
    '524544 MiB – 1 TiB: clean',
  ]);
  expect(svg).toContain('1 cell = 256 MiB');
});

test('names are escaped, and control characters are visible', () => {
  const name = '</title><script>"&\'\u001b[31m\u202e\uffff\ud800';
  const root = parseXml(picture(TiB, [], name));
  expect(root.children[0]!.text).toBe('</title><script>"&\'\\x1b[31m\\u202e\ufffd\ufffd');
  expect(allElements(root).some((element) => element.name === 'script')).toBe(false);
});

test('the picture stays small for any disk and any marks', () => {
  for (const virtualSize of [0, 512, 10 * 2 ** 20, 3 * 2 ** 30 + 512, TiB, 16 * TiB, 64 * TiB]) {
    const count = Math.min(20_000, Math.floor(virtualSize / 65536));
    const marked = Array.from({ length: count }, (_, index) => ({
      offset: Math.floor((index * virtualSize) / count / 65536) * 65536,
      length: ((index * 7919) % 65536) + 1,
    }));
    const svg = picture(virtualSize, marked, 'n'.repeat(1023));
    parseXml(svg);
    expect(svg.length).toBeLessThan(400 * 1024);
    expect(svg.match(/NaN|Infinity|undefined/)).toBeNull();
  }
});
