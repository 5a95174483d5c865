/**
 * Every rule by which QEMU refuses an image because of its bitmaps, broken in one image. qemu-img refuses it, the inspection
 * names the rule, and qemu-img opens it after the repair, with the same disk and the same sound bitmaps.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ProblemCode, repairDirectory } from '../../../src/index.ts';
import {
  BOTH_KEPT,
  BROKEN_BITMAPS,
  BROKEN_TABLE_ENTRIES,
  changeFirst,
  type Edit,
  EQUAL_NAMES,
  type Fates,
  FIRST_IN_USE,
  SECOND_IN_USE,
} from '../../support/broken-bitmaps.ts';
import { tryProgram } from '../../support/external-program.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { type DirtyExtent, dirtyExtents } from '../../support/qemu-bitmap.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';
import { EditedImage } from '../../unit/image/edited-image.ts';

/** An image before anything in it was broken, and what QEMU says of its bitmaps. */
interface Original {
  path: string;
  image: EditedImage;
  extents: Map<string, DirtyExtent[]>;
}

let folder: string;
let usual: Original;
let smallClusters: Original;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  usual = await makeOriginal('usual', '1M', 65536);
  // Here a bitmap takes eight clusters of data, and the directory is not in the first sector of its cluster alone.
  smallClusters = await makeOriginal('small', '16M', 512);
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function makeOriginal(name: string, size: string, clusterSize: number): Promise<Original> {
  const path = join(folder, `${name}.qcow2`);
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${clusterSize}`, path, size);
  await qemuIo(path, 'write -P 1 0 64k');
  await qemuImg('bitmap', '--add', '-g', '512', path, 'first');
  await qemuIo(path, 'write -P 2 128k 4k', 'write -P 3 700k 5000');
  await qemuImg('bitmap', '--add', '-g', '4096', '--disable', path, 'second');
  await qemuImg('bitmap', '--enable', path, 'second');
  await qemuIo(path, 'write -P 4 256k 64k');
  const extents = new Map<string, DirtyExtent[]>();
  for (const bitmap of ['first', 'second']) extents.set(bitmap, await dirtyExtents(path, bitmap));
  const bytes = await readFile(path);
  // As QEMU leaves it the last cluster may be there in part.
  const room = Buffer.alloc(8 * clusterSize - (bytes.length % clusterSize));
  return { path, image: new EditedImage(Buffer.concat([bytes, room])), extents };
}

let number = 0;

async function expectRepaired(
  original: Original,
  edit: Edit,
  codes: readonly ProblemCode[],
  fates: Fates,
): Promise<void> {
  const edited = new EditedImage(Buffer.from(original.image.bytes));
  edit(edited);
  const path = join(folder, `edited-${number++}.qcow2`);
  await writeFile(path, edited.bytes);
  expect((await tryProgram('qemu-img', ['info', path])).exitCode, 'QEMU before').toBe(1);

  const planned = await repairDirectory(path, { dryRun: true });
  expect(Buffer.compare(await readFile(path), edited.bytes), 'a dry run writes nothing').toBe(0);
  const result = await repairDirectory(path);
  expect({ ...planned, dryRun: false, plan: { ...planned.plan, steps: undefined } }).toEqual({
    ...result,
    plan: { ...result.plan, steps: undefined },
  });
  expect(result.wasUnopenable).toBe(true);
  expect(result.problems.filter(({ unopenable }) => unopenable).map(({ code }) => code)).toEqual(
    expect.arrayContaining([...codes]),
  );
  expect(Object.fromEntries(result.bitmaps.map(({ name, fate }) => [name, fate]))).toEqual(fates);

  expect(await qemuCheck(path)).toMatchObject({ errors: 0, corruptions: 0, leaks: 0 });
  expect(await compareImages(path, original.path)).toEqual({ identical: true, difference: '' });
  const left = await qemuBitmaps(path);
  const survivors = Object.entries(fates).filter(([, fate]) => fate !== 'dropped');
  expect(left.map(({ name }) => name)).toEqual(survivors.map(([name]) => name));
  for (const [name, fate] of survivors) {
    const { flags } = left.find((bitmap) => bitmap.name === name)!;
    expect(flags.includes('in-use'), `${name} in use`).toBe(fate === 'marked-in-use');
    if (fate === 'kept') expect(await dirtyExtents(path, name), name).toEqual(original.extents.get(name));
  }
  // QEMU can write to it, and so can this tool.
  await qemuIo(path, 'write -P 5 512k 64k');
  expect(await qemuCheck(path)).toMatchObject({ errors: 0, corruptions: 0, leaks: 0 });
  await expect(repairDirectory(path)).resolves.toMatchObject({ wasUnopenable: false, plan: null });
}

describe('the repair makes QEMU open an image again if', () => {
  test.each(BROKEN_BITMAPS)('%s', async (_, { edit, codes, fates }) => {
    await expectRepaired(usual, edit, codes, fates);
  });

  test.each(BROKEN_TABLE_ENTRIES)('a table entry %s', async (_, entry) => {
    await expectRepaired(usual, (image) => image.writeTable(0, [entry]), ['table-entry'], FIRST_IN_USE);
  });

  test('a table is one entry too short', async () => {
    const edit = changeFirst({ tableSize: 7 });
    await expectRepaired(smallClusters, edit, ['entry-table-mismatch'], FIRST_IN_USE);
  });

  test('a middle entry of a table has reserved bits', async () => {
    const edit: Edit = (image) => image.writeTable(0, [0n, 0n, 2n]);
    await expectRepaired(smallClusters, edit, ['table-entry'], FIRST_IN_USE);
  });

  test.each<[string, Edit, ProblemCode, Fates]>([
    ['the length is 16', (image) => image.setExtension({ length: 16 }), 'extension-length', BOTH_KEPT],
    ['the count is 0', (image) => image.setExtension({ count: 0 }), 'extension-count', BOTH_KEPT],
    ['the count is 1', (image) => image.setExtension({ count: 1 }), 'directory-count', SECOND_IN_USE],
  ])('%s, and the clusters are small', async (_, edit, code, fates) => {
    await expectRepaired(smallClusters, edit, [code], fates);
  });

  test('the directory offset is the offset of guest data', async () => {
    const [guestData] = (await qemuMap(usual.path)).flatMap(({ offset }) => offset ?? []);
    await expectRepaired(usual, (image) => image.setExtension({ offset: guestData! }), ['entry-cut-off'], {
      null: 'dropped',
    });
  });
});

test.each(EQUAL_NAMES)('the repair keeps one of several bitmaps, in use, if %s', async (_, edit) => {
  const edited = new EditedImage(Buffer.from(usual.image.bytes));
  edit(edited);
  const [name] = edited.entries().map((entry) => entry.name);
  const path = join(folder, `edited-${number++}.qcow2`);
  await writeFile(path, edited.bytes);
  expect((await tryProgram('qemu-img', ['info', path])).exitCode).toBe(1);
  const { problems, bitmaps } = await repairDirectory(path);
  expect(problems).toContainEqual(expect.objectContaining({ code: 'duplicate-name', unopenable: true }));
  expect(bitmaps.map(({ fate }) => fate)).toEqual(['marked-in-use', 'dropped']);
  expect(await qemuCheck(path)).toMatchObject({ errors: 0, corruptions: 0, leaks: 0 });
  expect(await compareImages(path, usual.path)).toMatchObject({ identical: true });
  const repaired = new EditedImage(await readFile(path));
  expect(repaired.entries().map((entry) => [entry.name, entry.flags & 1])).toEqual([[name, 1]]);
});

describe('the repair keeps all bitmaps if of two bitmaps extensions', () => {
  test.each<[string, Edit]>([
    ['the earlier counts no bitmaps', (image) => image.setExtension({ count: 0 }, 0)],
    ['the later counts no bitmaps', (image) => image.setExtension({ count: 0 })],
    ['the earlier has a wrong length', (image) => image.setExtension({ length: 16 }, 0)],
    ['the later has a wrong length', (image) => image.setExtension({ length: 4 })],
  ])('%s', async (_, edit) => {
    const twice: Edit = (image) => {
      image.doubleExtension();
      edit(image);
    };
    await expectRepaired(usual, twice, [], BOTH_KEPT);
  });
});
