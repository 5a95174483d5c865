/**
 * Every rule by which QEMU refuses an image for its bitmaps, broken in one image: refused by qemu-img before, named by the
 * inspection, and opened by qemu-img after the repair, with the disk and the sound bitmaps as they were.
 */
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ProblemCode, repairDirectory } from '../../src/index.ts';
import { EditedImage, type RawEntry } from '../image/edited-image.ts';
import { tryProgram } from '../support/external-program.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../support/qemu.ts';
import { type DirtyExtent, dirtyExtents } from '../support/qemu-bitmap.ts';
import { makeTemporaryFolder } from '../support/scratch.ts';

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
  return { path, image: new EditedImage(await readFile(path)), extents };
}

type Edit = (image: EditedImage) => void;
type Fates = [first: string, second: string];

const firstEntry =
  (change: Partial<RawEntry>): Edit =>
  (image) =>
    image.changeEntry(0, change);

let number = 0;

/** @param fates by name, and of what has no name or another one */
async function expectRepaired(
  original: Original,
  edit: Edit,
  codes: ProblemCode[],
  fates: Record<string, string>,
): Promise<void> {
  const edited = new EditedImage(Buffer.from(original.image.bytes));
  edit(edited);
  const path = join(folder, `edited-${number++}.qcow2`);
  await writeFile(path, edited.bytes);
  expect((await tryProgram('qemu-img', ['info', path])).exitCode, 'QEMU before').toBe(1);

  const planned = await repairDirectory(path, { dryRun: true });
  expect(await readFile(path), 'a dry run writes nothing').toEqual(Buffer.from(edited.bytes));
  const result = await repairDirectory(path);
  expect({ ...planned, dryRun: false, plan: { ...planned.plan, steps: undefined } }).toEqual({
    ...result,
    plan: { ...result.plan, steps: undefined },
  });
  expect(result.wasUnopenable).toBe(true);
  expect(result.problems.filter(({ unopenable }) => unopenable).map(({ code }) => code)).toEqual(
    expect.arrayContaining(codes),
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

const bothKept: Fates = ['kept', 'kept'];
const bothDropped: Fates = ['dropped', 'dropped'];
const byName = ([first, second]: Fates) => ({ first, second });

describe('in the bitmaps extension', () => {
  test.each<[string, Edit, ProblemCode[], Fates]>([
    ['the length is 16', (image) => image.setExtension({ length: 16 }), ['extension-length'], bothKept],
    ['the length is 32', (image) => image.setExtension({ length: 32 }), ['extension-length'], bothKept],
    ['the length is 0', (image) => image.setExtension({ length: 0 }), ['extension-length'], bothKept],
    ['the length is 23', (image) => image.setExtension({ length: 23 }), ['extension-length'], bothKept],
    [
      'the length is that of the whole file',
      (image) => image.setExtension({ length: 0x7fffffff }),
      ['extension-length'],
      bothKept,
    ],
    [
      'the length is wrong and the autoclear bit clear',
      (image) => {
        image.setExtension({ length: 16 });
        image.setAutoclear(0);
      },
      ['extension-length'],
      ['marked-in-use', 'marked-in-use'],
    ],
    [
      'the reserved field is 1',
      (image) => image.setExtension({ reserved: 1 }),
      ['extension-reserved'],
      bothKept,
    ],
    ['the count is 0', (image) => image.setExtension({ count: 0 }), ['extension-count'], bothKept],
    ['the count is 65536', (image) => image.setExtension({ count: 65536 }), ['extension-count'], bothKept],
    [
      'the count is less than the entries',
      (image) => image.setExtension({ count: 1 }),
      ['directory-count'],
      ['kept', 'marked-in-use'],
    ],
    [
      'the count is more than the entries',
      (image) => image.setExtension({ count: 3 }),
      ['directory-count'],
      bothKept,
    ],
    ['the directory size is 0', (image) => image.setExtension({ size: 0 }), ['directory-size'], bothKept],
    [
      'the directory size is above the limit',
      (image) => image.setExtension({ size: 67_107_848 }),
      ['directory-size'],
      bothKept,
    ],
    [
      'the directory size cuts the last entry off',
      (image) => image.setExtension({ size: image.directorySize - 8 }),
      ['entry-cut-off'],
      ['kept', 'marked-in-use'],
    ],
    [
      'everything but the offset is wrong',
      (image) => image.setExtension({ length: 8, reserved: 7, count: 0, size: 0 }),
      ['extension-length', 'extension-reserved', 'extension-count', 'directory-size'],
      ['marked-in-use', 'marked-in-use'],
    ],
  ])('%s', async (_, edit, codes, fates) => {
    await expectRepaired(usual, edit, codes, byName(fates));
    await expectRepaired(smallClusters, edit, codes, byName(fates));
  });
});
