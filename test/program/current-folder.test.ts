/** A backing file named with a protocol is looked for in the current folder, as QEMU does. */
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { unmergedExtents } from '../support/map-answers.ts';
import { cases, mapFaults, needsCurrentFolder } from '../unit/golden/cases.ts';

const program = fileURLToPath(new URL('../../bin/bitmap-tool.js', import.meta.url));
const inCurrentFolder = cases.filter(needsCurrentFolder);

test('the fixtures contain such chains', () => {
  expect(inCurrentFolder.map(({ name }) => name)).toEqual([
    'backing-name-file-protocol',
    'backing-name-json',
  ]);
});

test.each(inCurrentFolder)("the map of the chain $name is the same as QEMU's", async (golden) => {
  const { stdout } = await execa(process.execPath, [program, 'map', '--json', golden.top], {
    cwd: golden.folder,
  });
  const map = JSON.parse(stdout);
  expect(mapFaults(map, golden)).toEqual([]);
  expect(unmergedExtents(map)).toEqual([]);
});
