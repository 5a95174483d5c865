/**
 * The rules of bitmaps by which QEMU refuses a whole image: every edit is judged by this tool and by `qemu-img info`.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openImage } from '../../../src/image/image.ts';
import { readBitmapDirectory, readBitmapTable } from '../../../src/image/stored-bitmaps.ts';
import { listBitmaps } from '../../../src/index.ts';
import {
  BROKEN_BITMAPS,
  BROKEN_TABLE_ENTRIES,
  changeFirst,
  type Edit,
  EQUAL_NAMES,
} from '../../support/broken-bitmaps.ts';
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

const names = (...list: (string | Uint8Array)[]) => list.map((name) => ({ name }));
const firstInUse = (change: Partial<RawEntry>) => changeFirst({ flags: 1, ...change });

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

describe('an image is refused, as by QEMU, if', () => {
  test.each(BROKEN_BITMAPS)('%s', async (_, { edit, complaint }) => {
    await expectRefused(usual, edit, complaint);
  });

  test.each(BROKEN_TABLE_ENTRIES)('a table entry %s', async (_, entry) => {
    await expectRefused(
      usual,
      (image) => image.writeTable(0, [entry]),
      `bitmap "first": bitmap table entry 0: 0x${entry.toString(16)} has reserved bits set, an unaligned offset, or an offset together with bit 0`,
    );
  });

  test.each(EQUAL_NAMES)('of its bitmaps %s', async (_, edit) => {
    await expectRefused(usual, edit, 'is the name of an earlier entry too');
  });

  test('a table is one entry too short', async () => {
    await expectRefused(
      smallClusters,
      changeFirst({ tableSize: 7 }),
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

describe('an image is accepted, as by QEMU, with', () => {
  test.each<[string, Edit]>([
    ['a granularity of 512', changeFirst({ granularityBits: 9 })],
    ['a granularity of 2 GiB', changeFirst({ granularityBits: 31 })],
    ['a name of 1023 bytes', changeFirst({ name: 'n'.repeat(1023) })],
    ['a name of one byte', changeFirst({ name: 'n' })],
    ['a name that is not UTF-8', changeFirst({ name: Uint8Array.of(0xff, 0xfe) })],
    ['names that differ in case only', (image) => image.mapEntries(names('name', 'NAME'))],
    [
      'names that look equal as text: a byte and its escape',
      (image) => image.mapEntries(names(Uint8Array.of(0xff), '\\xff')),
    ],
    ['an empty name', changeFirst({ name: '' })],
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
    ['no flag set', changeFirst({ flags: 0 })],
    ['both flags set', changeFirst({ flags: 3 })],
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
      changeFirst({ tableOffset: 1 << 30 }),
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
