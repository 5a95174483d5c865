/**
 * The rules of bitmaps by which QEMU refuses a whole image: every edit is judged by this tool and by `qemu-img info`.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openImage } from '../../../src/image/image.ts';
import { readBitmapDirectory, readBitmapTable } from '../../../src/image/stored-bitmaps.ts';
import { listBitmaps } from '../../../src/index.ts';
import { tryProgram } from '../../support/external-program.ts';
import { memoryStorage } from '../../support/memory.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';
import { EditedImage, type RawEntry, rawEntry } from '../../unit/image/edited-image.ts';

let folder: string;
let usual: EditedImage;
let smallClusters: EditedImage;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  // A bitmap of 1 MiB takes one cluster at every granularity.
  usual = await EditedImage.make(join(folder, 'usual.qcow2'), '1M', 65536, ['first', 'second']);
  // One of 16 MiB at 512 bytes takes eight clusters.
  smallClusters = await EditedImage.make(join(folder, 'small.qcow2'), '16M', 512, ['first', 'second']);
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** What our reading of the whole set of bitmaps says: undefined when it is accepted. */
async function ourComplaint(bytes: Uint8Array): Promise<string | undefined> {
  try {
    const image = await openImage(memoryStorage(bytes, { name: 'disk.qcow2' }));
    for (const entry of await readBitmapDirectory(image)) {
      if (!entry.inUse) await readBitmapTable(image, entry);
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

let number = 0;
async function qemuOpens(image: EditedImage): Promise<{ opens: boolean; path: string }> {
  const path = join(folder, `edited-${number++}.qcow2`);
  await writeFile(path, image.bytes);
  const { exitCode } = await tryProgram('qemu-img', ['info', path]);
  expect(exitCode).toBeLessThanOrEqual(1);
  return { opens: exitCode === 0, path };
}

type Edit = (image: EditedImage) => void;
const names = (...list: (string | Uint8Array)[]) => list.map((name) => ({ name }));
const firstEntry =
  (change: Partial<RawEntry>): Edit =>
  (image) =>
    image.changeEntry(0, change);
const firstInUse =
  (change: Partial<RawEntry>): Edit =>
  (image) =>
    image.changeEntry(0, { flags: 1, ...change });

async function expectRefused(image: EditedImage, edit: Edit, complaint: string | RegExp): Promise<void> {
  const edited = image.copy();
  edit(edited);
  expect(await ourComplaint(edited.bytes)).toMatch(complaint);
  expect(await qemuOpens(edited)).toMatchObject({ opens: false });
}

async function expectAccepted(image: EditedImage, edit: Edit): Promise<void> {
  const edited = image.copy();
  edit(edited);
  const { opens, path } = await qemuOpens(edited);
  expect(opens).toBe(true);
  expect(await ourComplaint(edited.bytes)).toBeUndefined();
  await expect(listBitmaps(path)).resolves.toMatchObject({ format: 'qcow2' });
}

test('the unedited images are accepted', async () => {
  await expectAccepted(usual, () => {});
  await expectAccepted(smallClusters, () => {});
});

test("writing the same directory with the test's own encoder changes nothing", () => {
  const edited = usual.copy();
  edited.writeDirectory(edited.entries());
  expect(Buffer.compare(edited.bytes, usual.bytes)).toBe(0);
});

describe('an image is refused, as by QEMU, if in the bitmaps extension', () => {
  test.each<[string, Edit, string | RegExp]>([
    [
      'the length is 16',
      (image) => image.setExtension({ length: 16, offset: 0 }),
      'length is 16, must be 24',
    ],
    ['the length is 32', (image) => image.setExtension({ length: 32 }), 'length is 32, must be 24'],
    ['the length is 0', (image) => image.setExtension({ length: 0 }), 'length is 0, must be 24'],
    [
      'the length is wrong and the autoclear bit clear',
      (image) => {
        image.setExtension({ length: 16, offset: 0 });
        image.setAutoclear(0);
      },
      'length is 16, must be 24',
    ],
    [
      'the reserved field is 1',
      (image) => image.setExtension({ reserved: 1 }),
      'reserved field is 0x1, must be 0',
    ],
    ['the count is 0', (image) => image.setExtension({ count: 0 }), 'nb_bitmaps is 0, must be 1…65535'],
    [
      'the count is 65536',
      (image) => image.setExtension({ count: 65536 }),
      'nb_bitmaps is 65536, must be 1…65535',
    ],
    [
      'the count is less than the entries',
      (image) => image.setExtension({ count: 1 }),
      'the extension counts only 1 bitmaps',
    ],
    [
      'the count is more than the entries',
      (image) => image.setExtension({ count: 3 }),
      '2 entries found, the extension counts 3',
    ],
    [
      'the directory offset is not aligned',
      (image) => image.setExtension({ offset: image.directoryOffset + 512 }),
      /bitmap_directory_offset is 0x[0-9a-f]+, must be a multiple of the cluster size, not 0, and below 2\^53/,
    ],
    [
      'the directory offset is 0',
      (image) => image.setExtension({ offset: 0 }),
      'bitmap_directory_offset is 0x0, must be a multiple of the cluster size, not 0',
    ],
    [
      'the directory offset is beyond 2^53',
      (image) => image.setExtension({ offset: 1n << 62n }),
      'bitmap_directory_offset is 0x4000000000000000, must be a multiple of the cluster size, not 0, and below 2^53',
    ],
    [
      'the directory lies beyond the end of the file',
      (image) => image.setExtension({ offset: 1 << 30 }),
      'the bitmap directory at 0x40000000',
    ],
    [
      'the directory size is 0',
      (image) => image.setExtension({ size: 0 }),
      'bitmap_directory_size is 0, must be 1…67107840',
    ],
    [
      'the directory size is above the limit',
      (image) => image.setExtension({ size: 67_107_848 }),
      'bitmap_directory_size is 67107848, must be 1…67107840',
    ],
    [
      'the directory size cuts the last entry off',
      (image) => image.setExtension({ size: image.directorySize - 8 }),
      /bitmap directory entry 1 at 0x[0-9a-f]+: cut off by the end of the directory/,
    ],
    [
      'the directory size is 8 bytes too large',
      (image) => image.setExtension({ size: image.directorySize + 8 }),
      /bitmap directory entry 2 at 0x[0-9a-f]+: /,
    ],
    [
      'the directory size has room for one more entry',
      (image) => image.setExtension({ size: image.directorySize + 24 }),
      'the extension counts only 2 bitmaps',
    ],
    [
      'the directory size has room for one more entry of zeros, which is counted',
      (image) => image.setExtension({ size: image.directorySize + 24, count: 3 }),
      /bitmap directory entry 2 .*(name_size|type|granularity_bits) is 0/,
    ],
  ])('%s', async (_, edit, complaint) => {
    await expectRefused(usual, edit, complaint);
  });
});

describe('an image is refused, as by QEMU, if in a directory entry', () => {
  test.each<[string, Edit, string | RegExp]>([
    ['there is extra data', firstEntry({ extraData: new Uint8Array(8) }), 'extra_data_size is 8, must be 0'],
    [
      'there is one byte of extra data',
      firstEntry({ extraData: new Uint8Array(1) }),
      'extra_data_size is 1, must be 0',
    ],
    ['flag 2 is set', firstEntry({ flags: 4 }), 'flags are 0x4, only bits 0 and 1 may be set'],
    [
      'flag 2 is set together with in-use',
      firstEntry({ flags: 7 }),
      'flags are 0x7, only bits 0 and 1 may be set',
    ],
    [
      'flag 31 is set',
      firstEntry({ flags: 0x80000002 }),
      'flags are 0x80000002, only bits 0 and 1 may be set',
    ],
    ['the type is 0', firstEntry({ type: 0 }), 'type is 0, must be 1 (dirty tracking bitmap)'],
    ['the type is 2', firstEntry({ type: 2 }), 'type is 2, must be 1 (dirty tracking bitmap)'],
    ['the granularity is 2^8', firstEntry({ granularityBits: 8 }), 'granularity_bits is 8, must be 9…31'],
    ['the granularity is 2^32', firstEntry({ granularityBits: 32 }), 'granularity_bits is 32, must be 9…31'],
    [
      'the granularity is 2^255 and it is in use',
      firstInUse({ granularityBits: 255 }),
      'granularity_bits is 255, must be 9…31',
    ],
    [
      'the name has 1024 bytes',
      firstEntry({ name: 'n'.repeat(1024) }),
      'name_size is 1024, must be at most 1023',
    ],
    [
      'the table size is 0',
      firstEntry({ tableSize: 0 }),
      'bitmap_table_size is 0, must stand for 1…536870912 bytes',
    ],
    [
      'the table size is 0 and it is in use',
      firstInUse({ tableSize: 0 }),
      'bitmap_table_size is 0, must stand for',
    ],
    [
      'the table size is above 0x8000000',
      firstInUse({ tableSize: 0x8000001 }),
      'bitmap_table_size is 134217729, must stand for',
    ],
    [
      'the table stands for more than 512 MiB',
      firstInUse({ tableSize: 8193 }),
      'bitmap_table_size is 8193, must stand for 1…536870912 bytes',
    ],
    [
      'the table offset is 0',
      firstEntry({ tableOffset: 0 }),
      'bitmap_table_offset is 0x0, must be a multiple',
    ],
    [
      'the table offset is not aligned',
      firstEntry({ tableOffset: 0x40200 }),
      'bitmap_table_offset is 0x40200, must be a multiple',
    ],
    [
      'the table offset is not aligned and it is in use',
      firstInUse({ tableOffset: 0x40200 }),
      'bitmap_table_offset is 0x40200, must be a multiple',
    ],
    [
      'the table is one entry too long',
      firstEntry({ tableSize: 2 }),
      'bitmap_table_size is 2, must be 1 for this disk',
    ],
    [
      'two names are the same',
      (image) => image.mapEntries(names('same', 'same')),
      '"same" is the name of an earlier entry too',
    ],
    [
      'one in use and a later one that is not have the same name',
      (image) => image.mapEntries([{ name: 'same', flags: 1 }, { name: 'same' }]),
      '"same" is the name of an earlier entry too',
    ],
    [
      'two names are the same and not UTF-8',
      (image) => image.mapEntries(names(Uint8Array.of(0xff, 0x41), Uint8Array.of(0xff, 0x41))),
      'is the name of an earlier entry too',
    ],
  ])('%s', async (_, edit, complaint) => {
    await expectRefused(usual, edit, complaint);
  });

  test('the table is one entry too short', async () => {
    await expectRefused(
      smallClusters,
      firstEntry({ tableSize: 7 }),
      'bitmap_table_size is 7, must be 8 for this disk',
    );
  });

  test('only the second entry breaks a rule, and the message names it', async () => {
    await expectRefused(
      usual,
      (image) => image.changeEntry(1, { type: 3 }),
      /^disk\.qcow2: bitmap directory entry 1 at 0x[0-9a-f]+ \("second"\): type is 3, must be 1 .*\(spec: "Bitmap directory"\)$/,
    );
  });
});

describe('an image is refused, as by QEMU, if a table entry', () => {
  test.each<[string, bigint]>([
    ['has an offset and bit 0', 0x50001n],
    ['has reserved bit 1', 0x50002n],
    ['has reserved bit 8', 0x50100n],
    ['has reserved bit 56', (1n << 56n) | 0x50000n],
    ['has reserved bit 63', (1n << 63n) | 0x50000n],
    ['is not aligned', 0x50200n],
  ])('%s', async (_, entry) => {
    await expectRefused(
      usual,
      (image) => image.writeTable(0, [entry]),
      `bitmap "first": bitmap table entry 0: 0x${entry.toString(16)} has reserved bits set, an unaligned offset, or an offset together with bit 0`,
    );
  });
});

describe('an image is accepted, as by QEMU, with', () => {
  test.each<[string, Edit]>([
    ['a granularity of 512', firstEntry({ granularityBits: 9 })],
    ['a granularity of 2 GiB', firstEntry({ granularityBits: 31 })],
    ['a name of 1023 bytes', firstEntry({ name: 'n'.repeat(1023) })],
    ['a name of one byte', firstEntry({ name: 'n' })],
    ['a name that is not UTF-8', firstEntry({ name: Uint8Array.of(0xff, 0xfe) })],
    ['names that differ in case only', (image) => image.mapEntries(names('name', 'NAME'))],
    [
      'names that look equal as text: a byte and its escape',
      (image) => image.mapEntries(names(Uint8Array.of(0xff), '\\xff')),
    ],
    ['an empty name', firstEntry({ name: '' })],
    [
      'two bitmaps in use of one name',
      (image) =>
        image.mapEntries([
          { name: 'same', flags: 1 },
          { name: 'same', flags: 1 },
        ]),
    ],
    [
      'a bitmap in use that has the name of an earlier one',
      (image) => image.mapEntries([{ name: 'same' }, { name: 'same', flags: 1 }]),
    ],
    ['no flag set', firstEntry({ flags: 0 })],
    ['both flags set', firstEntry({ flags: 3 })],
    ['a table entry of 1: all set', (image) => image.writeTable(0, [1n])],
    ['a table in use of the maximum size', firstInUse({ tableSize: 8192 })],
    [
      'a table in use with reserved bits',
      (image) => {
        image.writeTable(0, [0xff00_0000_0000_01ffn]);
        image.changeEntry(0, { flags: 1 });
      },
    ],
    [
      'a table in use with an unaligned entry',
      (image) => {
        image.writeTable(0, [0x50200n]);
        image.changeEntry(0, { flags: 1 });
      },
    ],
    ['a table in use beyond the end of the file', firstInUse({ tableOffset: 1 << 30 })],
    ['the entries in the other order', (image) => image.writeDirectory(image.entries().reverse())],
    [
      'a broken directory, when the autoclear bit is clear',
      (image) => {
        image.setExtension({ count: 77 });
        image.setAutoclear(0);
      },
    ],
    [
      'reserved bits, when the autoclear bit is clear',
      (image) => {
        image.setExtension({ reserved: 5 });
        image.setAutoclear(0);
      },
    ],
  ])('%s', async (_, edit) => {
    await expectAccepted(usual, edit);
  });
});

describe('an image that QEMU opens and then damages is refused', () => {
  test.each<[string, Edit, RegExp]>([
    [
      'because a table is beyond the end of the file',
      firstEntry({ tableOffset: 1 << 30 }),
      /the table of bitmap "first" at 0x40000000 \(8 bytes\) reaches beyond the end of the file/,
    ],
    [
      'because a table is beyond 2^53',
      (image) => image.bytes.writeBigUInt64BE((1n << 60n) + (1n << 20n), image.directoryOffset),
      /the table of bitmap "first" at 0x10000000000000 \(8 bytes\) reaches beyond the end of the file/,
    ],
    [
      'because a data cluster is beyond 2^53',
      (image) => image.writeTable(0, [1n << 55n]),
      /a data cluster of bitmap "first" at 0x80000000000000 \(65536 bytes\) reaches beyond the end of the file/,
    ],
    [
      'because a data cluster is beyond the end of the file',
      (image) => image.writeTable(0, [1n << 30n]),
      /a data cluster of bitmap "first" at 0x40000000 \(65536 bytes\) reaches beyond the end of the file/,
    ],
  ])('%s', async (_, edit, complaint) => {
    const edited = usual.copy();
    edit(edited);
    expect(await qemuOpens(edited)).toMatchObject({ opens: true });
    expect(await ourComplaint(edited.bytes)).toMatch(complaint);
  });
});

describe('of two bitmaps extensions', () => {
  test('the later one counts', async () => {
    const edited = usual.copy();
    edited.doubleExtension();
    edited.setExtension({ count: 1, size: 32 }, 0);
    expect((await qemuOpens(edited)).opens).toBe(true);
    const image = await openImage(memoryStorage(edited.bytes));
    expect((await readBitmapDirectory(image)).map(({ name }) => name)).toEqual(['first', 'second']);
  });

  test.each<[string, Edit]>([
    ['in the earlier one', (image) => image.setExtension({ count: 0 }, 0)],
    ['in the later one', (image) => image.setExtension({ count: 0 })],
  ])('QEMU and this tool refuse a fault %s', async (_, edit) => {
    await expectRefused(
      usual,
      (image) => {
        image.doubleExtension();
        edit(image);
      },
      'nb_bitmaps is 0, must be 1…65535',
    );
  });
});

test('every entry written by the test is read back', () => {
  expect(usual.entries().map((entry) => rawEntry(entry).length)).toEqual([32, 32]);
});
