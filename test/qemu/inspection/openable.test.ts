/** Problems of bitmaps in images that QEMU opens. They are found and repaired, and QEMU then reports no error. */
import { execFile } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { NO_COMMAND } from '../../../src/cli/command-at-hand.ts';
import { hintFor } from '../../../src/cli/remedy/hint.ts';
import { type ProblemCode, type RefusedError, repairDirectory } from '../../../src/index.ts';
import { tryProgram } from '../../support/external-program.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { EditedImage } from '../../unit/image/edited-image.ts';
import { inspectFile } from '../../unit/inspection/inspect.ts';

const clean = { errors: 0, corruptions: 0, leaks: 0 };

interface Sample {
  path: string;
  /** The same disk, never changed. */
  copy: string;
  image: EditedImage;
  /** Stores what was edited. */
  save(): Promise<void>;
}

/** Two bitmaps with a data cluster each; the file ends with free space. */
async function sample(...options: string[]): Promise<Sample> {
  const folder = await scratchFolder();
  const path = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', ['cluster_size=65536', ...options].join(), path, '1M');
  await qemuIo(path, 'write -P 1 0 64k');
  for (const name of ['first', 'second']) await qemuImg('bitmap', '--add', '-g', '512', path, name);
  await qemuIo(path, 'write -P 2 128k 4k', 'write -P 3 700k 5000');
  const copy = join(folder, 'copy.qcow2');
  await copyFile(path, copy);
  const bytes = await readFile(path);
  const room = Buffer.alloc(8 * 65536 - (bytes.length % 65536));
  const image = new EditedImage(Buffer.concat([bytes, room]));
  return { path, copy, image, save: () => writeFile(path, image.bytes) };
}

const u64 = (image: EditedImage, at: number) =>
  Number(image.bytes.readBigUInt64BE(at) & 0x00ff_ffff_ffff_fe00n);
const dataOf = (image: EditedImage, index: number) => u64(image, image.entries()[index]!.tableOffset);
const l1Table = (image: EditedImage) => u64(image, 40);
const l2Table = (image: EditedImage) => u64(image, l1Table(image));
const refcountBlock = (image: EditedImage) => u64(image, u64(image, 48));
const guestData = async (path: string) => (await qemuMap(path)).flatMap(({ offset }) => offset ?? [])[0]!;

function setRefcount(image: EditedImage, offset: number, count: number): void {
  image.bytes.writeUInt16BE(count, refcountBlock(image) + (offset / 65536) * 2);
}

async function codesOf(path: string): Promise<[ProblemCode, string | undefined][]> {
  return (await inspectFile(path)).problems.map(({ code, bitmap }) => [code, bitmap]);
}

/** What is left, each with whether it is in use. */
async function bitmapsLeft(path: string): Promise<[string, boolean][]> {
  return (await qemuBitmaps(path)).map(({ name, flags }) => [name, flags.includes('in-use')]);
}

async function expectMended({ path, copy }: Sample, left: [string, boolean][]): Promise<void> {
  await repairDirectory(path);
  expect(await qemuCheck(path)).toMatchObject(clean);
  expect(await compareImages(path, copy)).toMatchObject({ identical: true });
  expect(await bitmapsLeft(path)).toEqual(left);
  expect((await inspectFile(path)).problems.filter(({ code }) => code !== 'in-use')).toEqual([]);
}

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

describe('refcounts', () => {
  test('that are too low for a bitmap must first be repaired by qemu-img check', async () => {
    const it = await sample();
    setRefcount(it.image, dataOf(it.image, 1), 0);
    await it.save();
    expect(await codesOf(it.path)).toEqual([['refcount-too-low', 'second']]);
    await expect(repairDirectory(it.path)).rejects.toMatchObject({
      code: 'NEEDS_CHECK',
      remedy: { kind: 'check-and-repair', file: it.path },
    });
    expect(Buffer.compare(await readFile(it.path), it.image.bytes)).toBe(0);
    await tryProgram('qemu-img', ['check', '-r', 'all', it.path]);
    expect(await repairDirectory(it.path)).toMatchObject({ plan: null, problems: [] });
  });

  test('that are too low for the disk are refused only if QEMU can open the image', async () => {
    const it = await sample();
    setRefcount(it.image, await guestData(it.path), 0);
    await it.save();
    expect(await codesOf(it.path)).toEqual([['refcount-too-low', undefined]]);
    await expect(repairDirectory(it.path)).rejects.toMatchObject({ code: 'NEEDS_CHECK' });

    it.image.setExtension({ count: 5 });
    await it.save();
    await repairDirectory(it.path);
    await tryProgram('qemu-img', ['check', '-r', 'all', it.path]);
    expect(await qemuCheck(it.path)).toMatchObject(clean);
    expect(await compareImages(it.path, it.copy)).toMatchObject({ identical: true });
    expect(await bitmapsLeft(it.path)).toEqual([
      ['first', false],
      ['second', false],
    ]);
  });

  test('of clusters without a reference become 0, whatever their value, even beyond the end of the file', async () => {
    const it = await sample();
    const room = it.image.bytes.length - 65536;
    setRefcount(it.image, room, 7);
    setRefcount(it.image, room + 65536, 1);
    setRefcount(it.image, room + 3 * 65536, 65535);
    await it.save();
    expect(await codesOf(it.path)).toEqual([['leaked-clusters', undefined]]);
    const result = await repairDirectory(it.path);
    expect(result).toMatchObject({
      leakedClusters: 3,
      leakedBytes: 3 * 65536,
      plan: { releasedClusters: 3 },
    });
    expect(await qemuCheck(it.path)).toMatchObject(clean);
    expect(await codesOf(it.path)).toEqual([]);
  });

  test('are not repaired if a refcount block belongs to the disk as well', async () => {
    const it = await sample();
    const l2 = l2Table(it.image);
    // The first free entry of the L2 table gets the refcount block.
    it.image.bytes.writeBigUInt64BE((1n << 63n) | BigInt(refcountBlock(it.image)), l2 + 5 * 8);
    await it.save();
    expect(await codesOf(it.path)).toEqual([['metadata-overlap', undefined]]);
    await expect(repairDirectory(it.path)).rejects.toMatchObject({ code: 'NEEDS_CHECK' });
    expect(Buffer.compare(await readFile(it.path), it.image.bytes)).toBe(0);
  });
});

describe('bitmaps that became outdated because of other software', () => {
  test('keep only their names', async () => {
    const it = await sample();
    it.image.setAutoclear(0);
    await it.save();
    expect(await codesOf(it.path)).toEqual([
      ['stale', undefined],
      ['leaked-clusters', undefined],
    ]);
    await expectMended(it, [
      ['first', true],
      ['second', true],
    ]);
  });

  test('lose their names if the guest has overwritten their directory', async () => {
    const it = await sample();
    it.image.setAutoclear(0);
    it.image.bytes.fill(0xa5, it.image.directoryOffset, it.image.directoryOffset + 65536);
    await it.save();
    await expectMended(it, []);
  });

  test('are removed from an image of version 2 together with their clusters', async () => {
    const it = await sample();
    await qemuImg('amend', '-o', 'compat=0.10', it.path);
    expect((await inspectFile(it.path)).problems.map(({ code }) => code)).toEqual([
      'version-2',
      'stale',
      'leaked-clusters',
    ]);
    const result = await repairDirectory(it.path);
    expect(result.bitmaps.map(({ fate }) => fate)).toEqual(['dropped', 'dropped']);
    expect(await qemuCheck(it.path)).toMatchObject(clean);
    expect(await compareImages(it.path, it.copy)).toMatchObject({ identical: true });
    expect((await inspectFile(it.path)).problems.map(({ code }) => code)).toEqual(['version-2']);
    await qemuImg('amend', '-o', 'compat=1.1', it.path);
    expect(await qemuCheck(it.path)).toMatchObject(clean);
  });

  test('are leaks after QEMU has dropped the extension', async () => {
    const it = await sample();
    it.image.setAutoclear(0);
    await it.save();
    await qemuIo(it.path, 'read 0 512');
    const { leaks } = await qemuCheck(it.path);
    expect(leaks).toBeGreaterThan(0);
    expect(await repairDirectory(it.path)).toMatchObject({
      leakedClusters: leaks,
      plan: { claimedClusters: 0 },
    });
    expect(await qemuCheck(it.path)).toMatchObject(clean);
  });
});

describe('an image that is marked', () => {
  test.each<[ProblemCode, number]>([
    ['marked-dirty', 1],
    ['marked-corrupt', 2],
  ])('%s is refused', async (code, bits) => {
    const it = await sample();
    it.image.bytes[79] = bits;
    it.image.setAutoclear(0);
    await it.save();
    expect(await codesOf(it.path)).toContainEqual([code, undefined]);
    await expect(repairDirectory(it.path)).rejects.toMatchObject({ code: 'NEEDS_CHECK' });
    expect(Buffer.compare(await readFile(it.path), it.image.bytes)).toBe(0);
  });

  test('corrupt and that QEMU refuses can be opened after the advised steps', async () => {
    const it = await sample();
    it.image.bytes[79] = 2;
    it.image.setExtension({ count: 0 });
    await it.save();
    const { remedy } = await repairDirectory(it.path).then(
      () => expect.fail('it is not refused'),
      (error: RefusedError) => error,
    );
    const commands = [...hintFor(remedy!, NO_COMMAND).matchAll(/"([^"]+)"/g)].map((match) => match[1]!);
    expect(commands).toHaveLength(2);
    for (const command of commands) await promisify(execFile)('sh', ['-c', command]).catch(() => {});
    expect(await qemuCheck(it.path)).toMatchObject(clean);
    expect(await compareImages(it.path, it.copy)).toMatchObject({ identical: true });
  });
});

test('unknown autoclear bits are reported, and the first change clears them', async () => {
  const it = await sample();
  it.image.setAutoclear(0x41);
  setRefcount(it.image, it.image.bytes.length - 65536, 1);
  await it.save();
  expect(await codesOf(it.path)).toEqual([
    ['unknown-autoclear', undefined],
    ['leaked-clusters', undefined],
  ]);
  await expectMended(it, [
    ['first', false],
    ['second', false],
  ]);
});
