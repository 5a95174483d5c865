/** Lists of extents from a file are read in pieces and completely. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readExtentList } from '../../../src/cli/extent-list.ts';
import { UsageError } from '../../../src/errors.ts';
import { scratchFolder } from '../../support/scratch.ts';

async function read(text: string) {
  const path = join(await scratchFolder(), 'list');
  await writeFile(path, text);
  return readExtentList(path);
}

const item = (start: number, present: boolean) =>
  `{ "start": ${start}, "length": 512, "depth": 0, "present": ${present}, "zero": false, "data": true, "filename": "a\\"}],{b" }`;

test('a list longer than one read is read completely, as JSON and as lines', async () => {
  const starts = Array.from({ length: 4000 }, (_, index) => index * 512);
  const wanted = starts.filter((_, index) => index % 2 === 1).map((offset) => ({ offset, length: 512 }));
  const items = starts.map((start, index) => item(start, index % 2 === 1));
  expect(await read(`[${items.join(',\n')}]\n`)).toEqual(wanted);
  expect(await read(wanted.map(({ offset }) => `${offset} 512\n`).join(''))).toEqual(wanted);
});

test('adjacent extents become one, and an empty list is allowed', async () => {
  expect(await read(`[${item(0, true)},${item(512, true)},${item(2048, true)}]`)).toEqual([
    { offset: 0, length: 1024 },
    { offset: 2048, length: 512 },
  ]);
  for (const text of ['[]', '\ufeff[ ]\n', `[${item(0, false)}]`, '# nothing\n\n']) {
    expect(await read(text)).toEqual([]);
  }
});

test('JSON that is truncated anywhere is refused', async () => {
  const json = `[${item(0, true)},\n${item(512, true)}]`;
  for (let length = 0; length < json.length; length++) {
    await expect(read(json.slice(0, length)), json.slice(0, length)).rejects.toThrow(UsageError);
  }
});

test.each([
  ['[[0, 512]]', /item 0 is not an extent/],
  [`[${item(0, true)},{"start":{}}]`, /item 1 is not an extent/],
  [`[${item(0, true)}] []`, /something follows the array/],
  ['[{"offset":0,"length":512,"description":"dirty",}]', /item 0: /],
  ['[{"offset":0,"length":512}]', /unknown description undefined/],
  [`[${' '.repeat(100_000)}`, /item 0 is not an extent/],
  ['1'.repeat(100_000), /line 1 has no end/],
  ['0 512\n512\n', /line 2 is not "offset length"/],
])('the list %.40s is refused', async (text, why) => {
  await expect(read(text)).rejects.toThrow(why);
});
