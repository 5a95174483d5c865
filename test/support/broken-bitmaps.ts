/** Edits that make QEMU refuse an image with the bitmaps "first" and "second", with the message and the result of the repair. */
import type { BitmapFate, ProblemCode } from '../../src/index.ts';
import type { EditedImage, RawEntry } from '../unit/image/edited-image.ts';

export type Edit = (image: EditedImage) => void;

/** The fate of each bitmap by its name, or by "null" if its entry is not readable. */
export type Fates = Record<string, BitmapFate>;

interface BrokenBitmaps {
  readonly what: string;
  readonly edit: Edit;
  /** Part of the message of the refusal. */
  readonly complaint: string | RegExp;
  /** Codes of problems that the repair reports. */
  readonly codes: readonly ProblemCode[];
  readonly fates: Fates;
}

export const BOTH_KEPT: Fates = { first: 'kept', second: 'kept' };
export const FIRST_IN_USE: Fates = { first: 'marked-in-use', second: 'kept' };
export const SECOND_IN_USE: Fates = { first: 'kept', second: 'marked-in-use' };
const BOTH_IN_USE: Fates = { first: 'marked-in-use', second: 'marked-in-use' };
const FIRST_UNREADABLE: Fates = { null: 'dropped', second: 'kept' };
/** An entry of zeros counts too. */
const BOTH_KEPT_AND_BLANK: Fates = { ...BOTH_KEPT, '': 'dropped' };
const LONG_NAME = 'n'.repeat(1024);

type Extension = Parameters<EditedImage['setExtension']>[0];

function extension(
  what: string,
  change: Extension | ((image: EditedImage) => Extension),
  complaint: string | RegExp,
  codes: readonly ProblemCode[],
  fates: Fates = BOTH_KEPT,
): BrokenBitmaps {
  const edit: Edit = (image) => image.setExtension(typeof change === 'function' ? change(image) : change);
  return { what: `in the extension ${what}`, edit, complaint, codes, fates };
}

/** Changes the first entry of the directory. */
export const changeFirst =
  (change: Partial<RawEntry>): Edit =>
  (image) =>
    image.changeEntry(0, change);

function entry(
  what: string,
  change: Partial<RawEntry> | Edit,
  complaint: string | RegExp,
  codes: readonly ProblemCode[],
  fates: Fates = FIRST_IN_USE,
): BrokenBitmaps {
  const edit = typeof change === 'function' ? change : changeFirst(change);
  return { what: `in an entry ${what}`, edit, complaint, codes, fates };
}

const BROKEN_EXTENSIONS: readonly BrokenBitmaps[] = [
  extension('the length is 16', { length: 16 }, 'length is 16, must be 24', ['extension-length']),
  extension('the length is 32', { length: 32 }, 'length is 32, must be 24', ['extension-length']),
  extension('the length is 0', { length: 0 }, 'length is 0, must be 24', ['extension-length']),
  extension('the length is 23', { length: 23 }, 'length is 23, must be 24', ['extension-length']),
  extension('the length is beyond the header', { length: 0x7fffffff }, 'length is 2147483647', [
    'extension-length',
  ]),
  {
    what: 'in the extension the length is wrong and the autoclear bit is clear',
    edit: (image) => {
      image.setExtension({ length: 16 });
      image.setAutoclear(0);
    },
    complaint: 'length is 16, must be 24',
    codes: ['extension-length'],
    fates: BOTH_IN_USE,
  },
  extension('the reserved field is 1', { reserved: 1 }, 'reserved field is 0x1, must be 0', [
    'extension-reserved',
  ]),
  extension('the count is 0', { count: 0 }, 'nb_bitmaps is 0, must be 1…65535', ['extension-count']),
  extension('the count is 65536', { count: 65536 }, 'nb_bitmaps is 65536, must be 1…65535', [
    'extension-count',
  ]),
  extension(
    'the count is less than the entries',
    { count: 1 },
    'the extension counts only 1 bitmap',
    ['directory-count'],
    SECOND_IN_USE,
  ),
  extension('the count is more than the entries', { count: 3 }, '2 entries found, the extension counts 3', [
    'directory-count',
  ]),
  extension(
    'the directory offset is not aligned',
    ({ directoryOffset }) => ({ offset: directoryOffset + 512 }),
    /bitmap_directory_offset is 0x[0-9a-f]+, must be a multiple of the cluster size, not 0, and below 2\^53/,
    ['directory-offset'],
    {},
  ),
  extension(
    'the directory offset is 0',
    { offset: 0 },
    'bitmap_directory_offset is 0x0, must be a multiple of the cluster size, not 0',
    ['directory-offset'],
    {},
  ),
  extension(
    'the directory offset is beyond 2^53',
    { offset: 1n << 62n },
    'bitmap_directory_offset is 0x4000000000000000, must be a multiple of the cluster size, not 0, and below 2^53',
    ['directory-offset'],
    {},
  ),
  extension(
    'the directory is beyond the end of the file',
    { offset: 1 << 30 },
    'the bitmap directory at 0x40000000',
    ['directory-beyond-end'],
    {},
  ),
  extension('the directory size is 0', { size: 0 }, 'bitmap_directory_size is 0, must be 1…67107840', [
    'directory-size',
  ]),
  extension(
    'the directory size is above the limit',
    { size: 67_107_848 },
    'bitmap_directory_size is 67107848, must be 1…67107840',
    ['directory-size'],
  ),
  extension(
    'the directory size cuts the last entry off',
    ({ directorySize }) => ({ size: directorySize - 8 }),
    /bitmap directory entry 1 at 0x[0-9a-f]+: cut off by the end of the directory/,
    ['entry-cut-off'],
    SECOND_IN_USE,
  ),
  extension(
    'the directory size is 8 bytes too large',
    ({ directorySize }) => ({ size: directorySize + 8 }),
    /bitmap directory entry 2 at 0x[0-9a-f]+: /,
    ['directory-count', 'entry-cut-off'],
    BOTH_KEPT_AND_BLANK,
  ),
  extension(
    'the directory size has room for one more entry',
    ({ directorySize }) => ({ size: directorySize + 24 }),
    'the extension counts only 2 bitmaps',
    ['directory-count', 'entry-type'],
    BOTH_KEPT_AND_BLANK,
  ),
  extension(
    'the directory size includes one more entry of zeros, which is counted',
    ({ directorySize }) => ({ size: directorySize + 24, count: 3 }),
    /bitmap directory entry 2 .*(name_size|type|granularity_bits) is 0/,
    ['entry-type'],
    BOTH_KEPT_AND_BLANK,
  ),
  extension(
    'everything but the offset is wrong',
    { length: 8, reserved: 7, count: 0, size: 0 },
    'length is 8, must be 24',
    ['extension-length', 'extension-reserved', 'extension-count', 'directory-size'],
    BOTH_IN_USE,
  ),
];

const BROKEN_ENTRIES: readonly BrokenBitmaps[] = [
  entry('there is extra data', { extraData: new Uint8Array(8) }, 'extra_data_size is 8, must be 0', [
    'entry-extra-data',
  ]),
  entry(
    'there is one byte of extra data',
    { extraData: new Uint8Array(1) },
    'extra_data_size is 1, must be 0',
    ['entry-extra-data'],
  ),
  entry('flag 2 is set', { flags: 6 }, 'flags are 0x6, only bits 0 and 1 may be set', ['entry-flags']),
  entry('flag 2 is set together with in-use', { flags: 7 }, 'flags are 0x7, only bits 0 and 1 may be set', [
    'entry-flags',
  ]),
  entry('flag 31 is set', { flags: 0x80000002 }, 'flags are 0x80000002, only bits 0 and 1 may be set', [
    'entry-flags',
  ]),
  entry('the type is 0', { type: 0 }, 'type is 0, must be 1 (dirty tracking bitmap)', ['entry-type']),
  entry('the type is 2', { type: 2 }, 'type is 2, must be 1 (dirty tracking bitmap)', ['entry-type']),
  entry('the granularity is 2^8', { granularityBits: 8 }, 'granularity_bits is 8, must be 9…31', [
    'entry-granularity',
  ]),
  entry('the granularity is 2^32', { granularityBits: 32 }, 'granularity_bits is 32, must be 9…31', [
    'entry-granularity',
  ]),
  entry(
    'the granularity is 2^255 and it is in use',
    { flags: 3, granularityBits: 255 },
    'granularity_bits is 255, must be 9…31',
    ['entry-granularity'],
  ),
  entry(
    'the name has 1024 bytes',
    { name: LONG_NAME },
    'name_size is 1024, must be at most 1023',
    ['entry-name-size'],
    { [LONG_NAME]: 'dropped', second: 'kept' },
  ),
  entry('the table size is 0', { tableSize: 0 }, 'bitmap_table_size is 0, must stand for 1…536870912 bytes', [
    'entry-table-size',
  ]),
  entry(
    'the table size is 0 and it is in use',
    { flags: 3, tableSize: 0 },
    'bitmap_table_size is 0, must stand for',
    ['entry-table-size'],
  ),
  entry(
    'the table size is above 0x8000000',
    { flags: 3, tableSize: 0x8000001 },
    'bitmap_table_size is 134217729, must stand for',
    ['entry-table-size'],
  ),
  entry(
    'the table stands for more than 512 MiB',
    { tableSize: 8193 },
    'bitmap_table_size is 8193, must stand for 1…536870912 bytes',
    ['entry-table-size'],
  ),
  entry('the table offset is 0', { tableOffset: 0 }, 'bitmap_table_offset is 0x0, must be a multiple', [
    'entry-table-offset',
  ]),
  entry(
    'the table offset is not aligned',
    { tableOffset: 0x40200 },
    'bitmap_table_offset is 0x40200, must be a multiple',
    ['entry-table-offset'],
  ),
  entry(
    'the table offset is not aligned and it is in use',
    { flags: 3, tableOffset: 0x40200 },
    'bitmap_table_offset is 0x40200, must be a multiple',
    ['entry-table-offset'],
  ),
  entry(
    'the table is one entry too long',
    { tableSize: 2 },
    'bitmap_table_size is 2, must be 1 for this disk',
    ['entry-table-mismatch'],
  ),
  entry(
    'the name is longer than the directory',
    (image) => image.bytes.writeUInt16BE(0xffff, image.directoryOffset + 18),
    'cut off by the end of the directory',
    ['entry-cut-off'],
    FIRST_UNREADABLE,
  ),
  entry(
    'the name of the second one is longer than the directory',
    (image) => image.bytes.writeUInt16BE(300, image.directoryOffset + 32 + 18),
    'cut off by the end of the directory',
    ['entry-cut-off'],
    // A stored name ends at a zero byte.
    SECOND_IN_USE,
  ),
  entry(
    'there is extra data longer than the directory',
    (image) => image.bytes.writeUInt32BE(4096, image.directoryOffset + 20),
    'cut off by the end of the directory',
    ['entry-cut-off'],
    FIRST_UNREADABLE,
  ),
  entry(
    'every rule is broken, and it is the second one',
    (image) => image.changeEntry(1, { flags: 12, type: 9, granularityBits: 1, tableSize: 0, tableOffset: 3 }),
    'flags are 0xc, only bits 0 and 1 may be set',
    ['entry-flags', 'entry-type', 'entry-granularity', 'entry-table-size', 'entry-table-offset'],
    SECOND_IN_USE,
  ),
];

export const BROKEN_BITMAPS: [what: string, broken: BrokenBitmaps][] = [
  ...BROKEN_EXTENSIONS,
  ...BROKEN_ENTRIES,
].map((broken) => [broken.what, broken]);

/** For the first bitmap, which then is only marked in-use. */
export const BROKEN_TABLE_ENTRIES: [what: string, entry: bigint][] = [
  ['has an offset and bit 0', 0x50001n],
  ['has reserved bit 1', 0x50002n],
  ['has reserved bit 8', 0x50100n],
  ['has reserved bit 56', (1n << 56n) | 0x50000n],
  ['has reserved bit 63', (1n << 63n) | 0x50000n],
  ['is not aligned', 0x50200n],
];

const named = (...names: (string | Uint8Array)[]) => names.map((name) => ({ name }));

/** Of two bitmaps with one name the repair keeps the first, and drops the second. */
export const EQUAL_NAMES: [what: string, edit: Edit][] = [
  ['two have the same name', (image) => image.mapEntries(named('same', 'same'))],
  [
    'one in use and a later one that is not have the same name',
    (image) => image.mapEntries([{ name: 'same', flags: 3 }, { name: 'same' }]),
  ],
  [
    'two have the same name that is not UTF-8',
    (image) => image.mapEntries(named(Uint8Array.of(0xff, 0x41), Uint8Array.of(0xff, 0x41))),
  ],
];
