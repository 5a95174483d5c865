/** Imports have one direction: a folder imports only from folders before it. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';

/** Lowest first. A path includes the content of its folder, except for parts with their own position. */
const ORDER =
  `remedy.ts errors.ts bytes text storage format image bitmap census inspection stored-metadata plan chain guest/allocation guest/data
  guest/comparison picture checkpoint/checkpoint.ts checkpoint/names.ts checkpoint/xml checkpoint/chain
  checkpoint/known checkpoint/verdict checkpoint/repair qemu operations library index.ts cli`.split(/\s+/);

const src = join(import.meta.dirname, '../../src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8');
  const found = text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g);
  return [...found].map(([, path]) => relative(src, join(src, dirname(file), path!)));
}

function placeOf(file: string): number {
  const places = ORDER.filter((each) => file === each || file.startsWith(`${each}/`));
  const [place] = places.toSorted((a, b) => b.length - a.length);
  return place === undefined ? Number.NaN : ORDER.indexOf(place);
}

test('every file has a position in the order', () => {
  expect(files.length).toBeGreaterThan(150);
  expect(files.filter((file) => Number.isNaN(placeOf(file)))).toEqual([]);
});

test('no file imports a file of a later folder', () => {
  const upwards = files.flatMap((file) =>
    importsOf(file)
      .filter((other) => !(placeOf(other) <= placeOf(file)))
      .map((other) => `${file} imports ${other}`),
  );
  expect(upwards).toEqual([]);
});

test('no files import each other in a circle', () => {
  const left = new Map(files.map((file) => [file, importsOf(file)]));
  for (let before = -1; left.size !== before; ) {
    before = left.size;
    for (const [file, imports] of left) if (imports.every((each) => !left.has(each))) left.delete(file);
  }
  expect([...left.keys()]).toEqual([]);
});
