/** Problems of bitmaps in images that QEMU opens. They are found and repaired, and QEMU then reports no error. */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { type ProblemCode, repairDirectory } from '../../../src/index.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { EditedImage } from '../../unit/image/edited-image.ts';
import { inspectFile } from '../../unit/inspection/inspect.ts';
import {
  codesOf,
  dataOf,
  expectMended,
  guestData,
  l1Table,
  l2Table,
  refcountBlock,
  sample,
} from './sample.ts';

test('an image that QEMU made has no problem, and the repair changes nothing', async () => {
  const { path, save } = await sample();
  expect((await inspectFile(path)).problems).toEqual([]);
  await save();
  const { problems, bitmaps, leakedClusters } = await inspectFile(path);
  expect(problems).toEqual([]);
  expect(leakedClusters).toBe(0);
  expect(bitmaps).toMatchObject([
    { trusted: true, nameable: true, ownsItsClusters: true, entry: { name: 'first' } },
    { trusted: true, nameable: true, ownsItsClusters: true, entry: { name: 'second' } },
  ]);
  expect(await repairDirectory(path)).toMatchObject({ plan: null, wasUnopenable: false });
});

describe('a bitmap that shares its clusters keeps only its name if', () => {
  test.each<
    [string, (image: EditedImage, guest: number) => void, [ProblemCode, string][], string, boolean[]]
  >([
    [
      'its data is the disk’s',
      (image, guest) => image.writeTable(0, [BigInt(guest)]),
      [['overlap', 'first']],
      'the data or tables of the disk',
      [true, false],
    ],
    [
      'its data is an L2 table',
      (image) => image.writeTable(0, [BigInt(l2Table(image))]),
      [['overlap', 'first']],
      'the data or tables of the disk',
      [true, false],
    ],
    [
      'its data is the L1 table',
      (image) => image.writeTable(0, [BigInt(l1Table(image))]),
      [['overlap', 'first']],
      'the active L1 table',
      [true, false],
    ],
    [
      'its data is a refcount block',
      (image) => image.writeTable(0, [BigInt(refcountBlock(image))]),
      [['overlap', 'first']],
      'refcount block 0',
      [true, false],
    ],
    [
      'its data is the bitmap directory',
      (image) => image.writeTable(0, [BigInt(image.directoryOffset)]),
      [
        ['overlap', 'the directory'],
        ['overlap', 'first'],
      ],
      'another part of the bitmaps',
      [true, true],
    ],
    [
      'its data is that of another bitmap',
      (image) => image.writeTable(0, [BigInt(dataOf(image, 1))]),
      [
        ['overlap', 'first'],
        ['overlap', 'second'],
      ],
      'another part of the bitmaps',
      [true, true],
    ],
    [
      'its table is that of another bitmap',
      (image) => image.changeEntry(0, { tableOffset: image.entries()[1]!.tableOffset }),
      [
        ['overlap', 'first'],
        ['overlap', 'second'],
      ],
      'another part of the bitmaps',
      [true, true],
    ],
    [
      'its table is its own data, which is all zeros',
      (image) => {
        image.bytes.fill(0, dataOf(image, 0), dataOf(image, 0) + 65536);
        image.bytes.writeBigUInt64BE(BigInt(dataOf(image, 0)), dataOf(image, 0));
        image.changeEntry(0, { tableOffset: dataOf(image, 0) });
      },
      [['overlap', 'first']],
      'another part of the bitmaps',
      [true, false],
    ],
  ])('%s', async (_, edit, codes, owner, inUse) => {
    const it = await sample();
    edit(it.image, await guestData(it.path));
    await it.save();
    const { problems } = await inspectFile(it.path);
    const overlaps = problems.filter(({ code }) => code === 'overlap');
    expect(overlaps.map(({ code, bitmap = 'the directory' }) => [code, bitmap])).toEqual(codes);
    expect(overlaps[0]!.message).toContain(owner);
    await expectMended(it, [
      ['first', inUse[0]!],
      ['second', inUse[1]!],
    ]);
  });

  test('its data belongs to a snapshot alone', async () => {
    const it = await sample();
    await qemuImg('snapshot', '-c', 's1', it.path);
    await qemuIo(it.path, 'write -P 9 0 1M');
    const bytes = await readFile(it.path);
    const edited = new EditedImage(bytes);
    // The first data cluster that was written is the snapshot's alone by now.
    edited.writeTable(0, [BigInt(await guestData(it.copy))]);
    await writeFile(it.path, bytes);
    await copyFile(it.path, it.copy);
    const codes = await codesOf(it.path);
    expect(codes).toContainEqual(['overlap', 'first']);
    await expectMended(it, [
      ['first', true],
      ['second', false],
    ]);
    const contents = [it.path, it.copy].map(async (path) => {
      await qemuImg('convert', '-l', 's1', '-O', 'raw', path, `${path}.s1`);
      return readFile(`${path}.s1`);
    });
    const [repaired, copied] = await Promise.all(contents);
    expect(Buffer.compare(repaired!, copied!)).toBe(0);
  });
});

describe('a bitmap beyond the end of the file, which QEMU would read as clean, keeps only its name:', () => {
  test.each<[ProblemCode, (image: EditedImage) => void]>([
    ['table-beyond-end', (image) => image.changeEntry(0, { tableOffset: 1 << 30 })],
    ['data-beyond-end', (image) => image.writeTable(0, [1n << 30n])],
    ['data-beyond-end', (image) => image.writeTable(0, [1n << 55n])],
  ])('%s', async (code, edit) => {
    const it = await sample();
    edit(it.image);
    await it.save();
    expect(await codesOf(it.path)).toContainEqual([code, 'first']);
    await expectMended(it, [
      ['first', true],
      ['second', false],
    ]);
  });
});

test('bits beyond the end of the disk are cleared, and the others stay', async () => {
  const it = await sample();
  // 2048 granules of 512 bytes: bytes 0…255 of the cluster.
  it.image.bytes[dataOf(it.image, 0) + 256] = 0x10;
  await it.save();
  expect(await codesOf(it.path)).toEqual([['bits-past-end', 'first']]);
  const before = await dirtyExtents(it.copy, 'first');
  await expectMended(it, [
    ['first', false],
    ['second', false],
  ]);
  expect(await dirtyExtents(it.path, 'first')).toEqual(before);
});

test('a bitmap in use is reported and not changed', async () => {
  const it = await sample();
  it.image.changeEntry(1, { flags: 3 });
  await it.save();
  expect(await codesOf(it.path)).toEqual([['in-use', 'second']]);
  expect(await repairDirectory(it.path)).toMatchObject({ plan: null });
});

test('one of two bitmaps in use with the same name stays', async () => {
  const it = await sample();
  it.image.mapEntries([
    { name: 'same', flags: 1 },
    { name: 'same', flags: 1 },
  ]);
  await it.save();
  expect(await codesOf(it.path)).toContainEqual(['duplicate-name', 'same']);
  await expectMended(it, [['same', true]]);
});

test('two names that look equal as text are two names', async () => {
  const it = await sample();
  it.image.mapEntries([{ name: Uint8Array.of(0xff) }, { name: '\\xff' }]);
  await it.save();
  expect((await inspectFile(it.path)).problems).toEqual([]);
});

test('a table that many bitmaps in use share is read at most as often as it fits into the file', async () => {
  const it = await sample();
  const [entry] = it.image.entries();
  const names = Array.from({ length: 100 }, (_, index) => `b${index}`);
  it.image.writeDirectory(names.map((name) => ({ ...entry!, name, flags: 1, tableSize: 8192 })));
  await it.save();
  const { problems, bitmaps } = await inspectFile(it.path);
  expect(problems.filter(({ code }) => code === 'overlap')).toHaveLength(100);
  expect(bitmaps.every(({ ownsItsClusters }) => !ownsItsClusters)).toBe(true);
  await expectMended(
    it,
    names.map((name) => [name, true]),
  );
});
