/**
 * Every rule by which QEMU refuses an image because of its bitmaps, broken in one image. qemu-img refuses it, the inspection
 * names the rule, and qemu-img opens it after the repair, with the same disk and the same sound bitmaps.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BitmapFate, type ProblemCode, repairDirectory } from '../../../src/index.ts';
import { tryProgram } from '../../support/external-program.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { type DirtyExtent, dirtyExtents } from '../../support/qemu-bitmap.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';
import { EditedImage, type RawEntry } from '../../unit/image/edited-image.ts';

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

type Edit = (image: EditedImage) => void;
/** What becomes of the bitmaps, by name; 'null' is one whose entry cannot be made out. */
type Fates = Record<string, BitmapFate>;

const firstEntry =
  (change: Partial<RawEntry>): Edit =>
  (image) =>
    image.changeEntry(0, change);

let number = 0;

async function expectRepaired(
  original: Original,
  edit: Edit,
  codes: ProblemCode[],
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

const bothKept: Fates = { first: 'kept', second: 'kept' };
const bothInUse: Fates = { first: 'marked-in-use', second: 'marked-in-use' };
const firstInUse: Fates = { first: 'marked-in-use', second: 'kept' };
const secondInUse: Fates = { first: 'kept', second: 'marked-in-use' };
const firstUnreadable: Fates = { null: 'dropped', second: 'kept' };
/** An entry of zeros was counted too. */
const bothKeptAndBlank: Fates = { ...bothKept, '': 'dropped' };

describe('the repair makes QEMU open an image again if in the bitmaps extension', () => {
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
      bothInUse,
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
      secondInUse,
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
      secondInUse,
    ],
    [
      'the directory size is 8 bytes too large',
      (image) => image.setExtension({ size: image.directorySize + 8 }),
      ['directory-count', 'entry-cut-off'],
      bothKeptAndBlank,
    ],
    [
      'the directory size has room for one more entry',
      (image) => image.setExtension({ size: image.directorySize + 24 }),
      ['directory-count', 'entry-type'],
      bothKeptAndBlank,
    ],
    [
      'everything but the offset is wrong',
      (image) => image.setExtension({ length: 8, reserved: 7, count: 0, size: 0 }),
      ['extension-length', 'extension-reserved', 'extension-count', 'directory-size'],
      bothInUse,
    ],
  ])('%s', async (_, edit, codes, fates) => {
    await expectRepaired(usual, edit, codes, fates);
  });

  test.each<[string, Edit, ProblemCode, Fates]>([
    ['the length is 16', (image) => image.setExtension({ length: 16 }), 'extension-length', bothKept],
    ['the count is 0', (image) => image.setExtension({ count: 0 }), 'extension-count', bothKept],
    ['the count is 1', (image) => image.setExtension({ count: 1 }), 'directory-count', secondInUse],
  ])('%s, and the clusters are small', async (_, edit, code, fates) => {
    await expectRepaired(smallClusters, edit, [code], fates);
  });
});

describe('the repair drops all bitmaps and frees their clusters if the directory cannot be found because', () => {
  test.each<[string, Edit, ProblemCode]>([
    [
      'its offset is not aligned',
      (image) => image.setExtension({ offset: image.directoryOffset + 256 }),
      'directory-offset',
    ],
    ['its offset is 0', (image) => image.setExtension({ offset: 0 }), 'directory-offset'],
    ['its offset is beyond 2^53', (image) => image.setExtension({ offset: 1n << 62n }), 'directory-offset'],
    [
      'it lies beyond the end of the file',
      (image) => image.setExtension({ offset: 1 << 30 }),
      'directory-beyond-end',
    ],
  ])('%s', async (_, edit, code) => {
    await expectRepaired(usual, edit, [code], {});
  });

  test('its offset is the offset of guest data', async () => {
    const [guestData] = (await qemuMap(usual.path)).flatMap(({ offset }) => offset ?? []);
    await expectRepaired(usual, (image) => image.setExtension({ offset: guestData! }), ['entry-cut-off'], {
      null: 'dropped',
    });
  });
});

describe('the repair makes QEMU open an image again if in a directory entry', () => {
  test.each<[string, Edit, ProblemCode[], Fates]>([
    ['there is extra data', firstEntry({ extraData: new Uint8Array(8) }), ['entry-extra-data'], firstInUse],
    [
      'there is one byte of extra data',
      firstEntry({ extraData: new Uint8Array(1) }),
      ['entry-extra-data'],
      firstInUse,
    ],
    ['flag 2 is set', firstEntry({ flags: 6 }), ['entry-flags'], firstInUse],
    ['flag 31 is set', firstEntry({ flags: 0x80000002 }), ['entry-flags'], firstInUse],
    ['the type is 0', firstEntry({ type: 0 }), ['entry-type'], firstInUse],
    ['the type is 2', firstEntry({ type: 2 }), ['entry-type'], firstInUse],
    ['the granularity is 2^8', firstEntry({ granularityBits: 8 }), ['entry-granularity'], firstInUse],
    ['the granularity is 2^32', firstEntry({ granularityBits: 32 }), ['entry-granularity'], firstInUse],
    [
      'the granularity is 2^255 and it is in use',
      firstEntry({ flags: 3, granularityBits: 255 }),
      ['entry-granularity'],
      firstInUse,
    ],
    ['the table size is 0', firstEntry({ tableSize: 0 }), ['entry-table-size'], firstInUse],
    [
      'the table size is 0 and it is in use',
      firstEntry({ flags: 3, tableSize: 0 }),
      ['entry-table-size'],
      firstInUse,
    ],
    [
      'the table size is above 0x8000000',
      firstEntry({ flags: 3, tableSize: 0x8000001 }),
      ['entry-table-size'],
      firstInUse,
    ],
    [
      'the table stands for more than 512 MiB',
      firstEntry({ tableSize: 8193 }),
      ['entry-table-size'],
      firstInUse,
    ],
    ['the table offset is 0', firstEntry({ tableOffset: 0 }), ['entry-table-offset'], firstInUse],
    [
      'the table offset is not aligned',
      firstEntry({ tableOffset: 0x40200 }),
      ['entry-table-offset'],
      firstInUse,
    ],
    ['the table is one entry too long', firstEntry({ tableSize: 2 }), ['entry-table-mismatch'], firstInUse],
    [
      'the name is longer than the directory',
      (image) => image.bytes.writeUInt16BE(0xffff, image.directoryOffset + 18),
      ['entry-cut-off'],
      firstUnreadable,
    ],
    [
      'the name of the second one is longer than the directory',
      (image) => image.bytes.writeUInt16BE(300, image.directoryOffset + 32 + 18),
      ['entry-cut-off'],
      // QEMU takes a name to end at a zero byte.
      secondInUse,
    ],
    [
      'there is extra data longer than the directory',
      (image) => image.bytes.writeUInt32BE(4096, image.directoryOffset + 20),
      ['entry-cut-off'],
      firstUnreadable,
    ],
    [
      'the second entry breaks every rule',
      (image) =>
        image.changeEntry(1, { flags: 12, type: 9, granularityBits: 1, tableSize: 0, tableOffset: 3 }),
      ['entry-flags', 'entry-type', 'entry-granularity', 'entry-table-size', 'entry-table-offset'],
      secondInUse,
    ],
  ])('%s', async (_, edit, codes, fates) => {
    await expectRepaired(usual, edit, codes, fates);
  });

  test('the name has 1024 bytes', async () => {
    const name = 'n'.repeat(1024);
    await expectRepaired(usual, firstEntry({ name }), ['entry-name-size'], {
      [name]: 'dropped',
      second: 'kept',
    });
  });

  test('the table is one entry too short', async () => {
    await expectRepaired(smallClusters, firstEntry({ tableSize: 7 }), ['entry-table-mismatch'], firstInUse);
  });
});

describe('the repair makes QEMU open an image again if in a bitmap table', () => {
  test.each<[string, bigint]>([
    ['an entry has an offset and bit 0', 0x50001n],
    ['an entry has reserved bit 1', 0x50002n],
    ['an entry has reserved bit 8', 0x50100n],
    ['an entry has reserved bit 56', (1n << 56n) | 0x50000n],
    ['an entry has reserved bit 63', (1n << 63n) | 0x50000n],
    ['an entry is not aligned', 0x50200n],
  ])('%s', async (_, entry) => {
    await expectRepaired(usual, (image) => image.writeTable(0, [entry]), ['table-entry'], firstInUse);
  });

  test('a middle entry has reserved bits', async () => {
    const edit: Edit = (image) => image.writeTable(0, [0n, 0n, 2n]);
    await expectRepaired(smallClusters, edit, ['table-entry'], firstInUse);
  });
});

describe('the repair keeps one of several bitmaps, in use, if', () => {
  const names = (...list: (string | Uint8Array)[]) => list.map((name) => ({ name }));

  test.each<[string, Edit, (string | undefined)[][]]>([
    ['two have the same name', (image) => image.mapEntries(names('same', 'same')), [['same', 'in-use']]],
    [
      'one in use and a later one that is not have the same name',
      (image) => image.mapEntries([{ name: 'same', flags: 3 }, { name: 'same' }]),
      [['same', 'in-use']],
    ],
    [
      'two have the same name that is not UTF-8',
      (image) => image.mapEntries(names(Uint8Array.of(0xff, 0x41), Uint8Array.of(0xff, 0x41))),
      [[expect.any(String), 'in-use']],
    ],
  ])('%s', async (_, edit, left) => {
    const edited = new EditedImage(Buffer.from(usual.image.bytes));
    edit(edited);
    const path = join(folder, `edited-${number++}.qcow2`);
    await writeFile(path, edited.bytes);
    expect((await tryProgram('qemu-img', ['info', path])).exitCode).toBe(1);
    const { problems, bitmaps } = await repairDirectory(path);
    expect(problems).toContainEqual(expect.objectContaining({ code: 'duplicate-name', unopenable: true }));
    expect(bitmaps.map(({ fate }) => fate)).toEqual(['marked-in-use', 'dropped']);
    expect(await qemuCheck(path)).toMatchObject({ errors: 0, corruptions: 0, leaks: 0 });
    expect(await compareImages(path, usual.path)).toMatchObject({ identical: true });
    expect(
      (await qemuBitmaps(path)).map(({ name, flags }) => [name, flags.find((flag) => flag === 'in-use')]),
    ).toEqual(left);
  });
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
    await expectRepaired(usual, twice, [], bothKept);
  });
});
