/** A bitmap directory that breaks rules: each broken rule is named, and all else is read. */
import { describe, expect, test } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import type { PossibleDirectory } from '../../../src/format/bitmaps-extension.ts';
import { examineBitmapDirectory } from '../../../src/format/parse-directory.ts';
import { type RawEntry, rawEntry } from '../image/edited-image.ts';
import { geometry } from './stored-header.ts';

const OFFSET = hostOffset(0x50000);
/** A disk whose bitmaps at 512 bytes need 4 clusters. */
const header = geometry(16, false, { size: 2 ** 30 });

/** A sound entry of 32 bytes, unless its name has more than 8, with the given fields changed. */
function stored(changes: Partial<RawEntry> = {}): Buffer {
  return rawEntry({
    tableOffset: 0x60000,
    tableSize: 4,
    flags: 2,
    type: 1,
    granularityBits: 9,
    name: 'b',
    extraData: Buffer.alloc(0),
    ...changes,
  });
}

/** Name, place and broken rules of each entry that is found, and the rules that the directory breaks as a whole. */
function examined(bytes: Uint8Array, location: Partial<PossibleDirectory>, of = header) {
  const { entries, violations } = examineBitmapDirectory(
    bytes,
    { offset: OFFSET, bitmapCount: undefined, sizeBytes: undefined, ...location },
    of,
  );
  const own = entries.flatMap((entry) => entry.violations);
  entries.forEach(({ index }, position) => {
    expect(index).toBe(position);
  });
  return {
    entries: entries.map(({ entry, offset, violations }) => [
      entry?.name,
      offset - OFFSET,
      violations.map(({ rule }) => rule).join(' '),
    ]),
    whole: violations.filter((each) => !own.includes(each)).map(({ message }) => message),
  };
}

const [a, b, c] = ['a', 'b', 'c'].map((name) => stored({ name })) as [Buffer, Buffer, Buffer];

describe('an entry', () => {
  const rulesOf = (changes: Partial<RawEntry>) => {
    const bytes = stored(changes);
    return examined(bytes, { bitmapCount: 1, sizeBytes: bytes.length }).entries[0]?.[2];
  };

  test.each<[string, Partial<RawEntry>]>([
    ['no flags', { flags: 0 }],
    ['both flags', { flags: 3 }],
    ['the coarsest granularity', { granularityBits: 31, tableSize: 1 }],
    ['a name of 1023 bytes', { name: 'n'.repeat(1023) }],
    ['an empty name, which QEMU allows', { name: '' }],
    ['a table offset beyond the end of any file', { tableOffset: 2 ** 60 }],
    ['a table of any size while it is in use', { flags: 1, tableSize: 8192 }],
    ['a table of one entry while it is in use', { flags: 1, tableSize: 1 }],
  ])('may have %s', (_, changes) => {
    expect(rulesOf(changes)).toBe('');
  });

  test.each<[string, Partial<RawEntry>, string]>([
    ['extra data', { extraData: Buffer.alloc(1) }, 'entry-extra-data'],
    ['flag 2', { flags: 4 }, 'entry-flags'],
    ['flag 31', { flags: 0x80000002 }, 'entry-flags'],
    ['type 0', { type: 0 }, 'entry-type'],
    ['type 2', { type: 2 }, 'entry-type'],
    ['a granularity of 256 bytes', { granularityBits: 8 }, 'entry-granularity'],
    ['a granularity of 4 GiB', { granularityBits: 32 }, 'entry-granularity'],
    ['a name of 1024 bytes', { name: 'n'.repeat(1024) }, 'entry-name-size'],
    ['no table', { tableOffset: 0 }, 'entry-table-offset'],
    ['an unaligned table', { tableOffset: 0x60200 }, 'entry-table-offset'],
    ['an empty table', { tableSize: 0 }, 'entry-table-size'],
    ['an empty table while it is in use', { flags: 1, tableSize: 0 }, 'entry-table-size'],
    ['a table for more than 512 MiB', { flags: 1, tableSize: 8193 }, 'entry-table-size'],
    ['a table of the highest number', { flags: 1, tableSize: 0xffffffff }, 'entry-table-size'],
    ['a table that is too short', { tableSize: 3 }, 'entry-table-mismatch'],
    ['a table that is too long', { tableSize: 5 }, 'entry-table-mismatch'],
    ['several faults', { flags: 4, type: 0, granularityBits: 0 }, 'entry-flags entry-type entry-granularity'],
  ])('is broken with %s', (_, changes, rules) => {
    expect(rulesOf(changes)).toBe(rules);
  });

  test('that breaks a rule is reported with its place, the stored value and the allowed values', () => {
    const { violations } = examineBitmapDirectory(
      Buffer.concat([a, stored({ granularityBits: 40 })]),
      { offset: OFFSET, bitmapCount: 2, sizeBytes: 64 },
      header,
    );
    expect(violations).toEqual([
      {
        rule: 'entry-granularity',
        message:
          'bitmap directory entry 1 at 0x50020 ("b"): granularity_bits is 40, must be 9…31 (spec: "Bitmap directory")',
      },
    ]);
  });

  test('has a name that ends at a zero byte, its flags, and a table offset of at most 2^52', () => {
    const bytes = Buffer.concat([
      stored({ name: 'x\0y', flags: 1, tableOffset: 2 ** 52 - 65536 }),
      stored({ name: 'z', flags: 2, tableOffset: 2 ** 60 }),
    ]);
    const { entries } = examineBitmapDirectory(
      bytes,
      { offset: OFFSET, bitmapCount: 2, sizeBytes: bytes.length },
      header,
    );
    expect(entries.map(({ entry }) => entry)).toMatchObject([
      { name: 'x', inUse: true, auto: false, tableOffset: 2 ** 52 - 65536, granularityBits: 9 },
      { name: 'z', inUse: false, auto: true, tableOffset: 2 ** 52, tableEntryCount: 4 },
    ]);
  });

  test('has its name after the extra data', () => {
    const bytes = stored({ name: 'named', extraData: Buffer.alloc(16, 0x65) });
    expect(examined(bytes, { bitmapCount: 1, sizeBytes: bytes.length }).entries).toEqual([
      ['named', 0, 'entry-extra-data'],
    ]);
  });

  test('may have a name that looks like another entry', () => {
    const bytes = stored({ name: b });
    expect(examined(bytes, { bitmapCount: 1, sizeBytes: bytes.length }).entries).toEqual([['', 0, '']]);
  });

  test('keeps a byte order mark in its name', () => {
    const bytes = stored({ name: '\ufeffx' });
    expect(examined(bytes, { bitmapCount: 1, sizeBytes: bytes.length }).entries).toEqual([
      ['\ufeffx', 0, ''],
    ]);
  });

  test('shows the printable bytes of a name that is not UTF-8, and escapes all others', () => {
    const name = Buffer.from([0x1f, 0x20, 0x7e, 0x7f, 0xff, 0x05]);
    const bytes = stored({ name });
    const { entries } = examineBitmapDirectory(
      bytes,
      { offset: OFFSET, bitmapCount: 1, sizeBytes: bytes.length },
      header,
    );
    expect(entries[0]?.entry?.name).toBe('\\x1f ~\\x7f\\xff\\x05');
  });
});

describe('two entries with the same name', () => {
  test.each([
    ['refused', 2, 2, 'duplicate-name'],
    ['refused if only the earlier one is in use', 1, 2, 'duplicate-name'],
    ['allowed if the later one is in use', 2, 1, ''],
    ['allowed if both are in use', 1, 1, ''],
  ])('are %s', (_, earlier, later, rules) => {
    const bytes = Buffer.concat([stored({ flags: earlier }), c, stored({ flags: later })]);
    expect(examined(bytes, { bitmapCount: 3, sizeBytes: 96 }).entries).toEqual([
      ['b', 0, ''],
      ['c', 32, ''],
      ['b', 64, rules],
    ]);
  });
});

describe('a directory', () => {
  const two = Buffer.concat([a, b]);
  const twoSound = [
    ['a', 0, ''],
    ['b', 32, ''],
  ];

  test('is sound if it has the count and the size of the extension', () => {
    expect(examined(two, { bitmapCount: 2, sizeBytes: 64 })).toEqual({ entries: twoSound, whole: [] });
  });

  test('is broken as a whole if it has fewer entries than the extension counts', () => {
    const whole = [
      'bitmap directory at 0x50000: 2 entries found, the extension counts 3 (spec: "Bitmap directory")',
    ];
    expect(examined(two, { bitmapCount: 3, sizeBytes: 64 })).toEqual({ entries: twoSound, whole });
    // The zeros that follow are not read as an entry.
    const blank = Buffer.concat([two, Buffer.alloc(64)]);
    expect(examined(blank, { bitmapCount: 3, sizeBytes: 64 })).toEqual({ entries: twoSound, whole });
  });

  test('contains entries beyond the count of the extension, as broken ones', () => {
    expect(examined(two, { bitmapCount: 1, sizeBytes: 64 })).toEqual({
      entries: [
        ['a', 0, ''],
        ['b', 32, 'directory-count'],
      ],
      whole: [],
    });
  });

  test('contains counted entries beyond its size, as broken ones', () => {
    expect(examined(Buffer.concat([two, c]), { bitmapCount: 2, sizeBytes: 32 })).toEqual({
      entries: [
        ['a', 0, ''],
        ['b', 32, 'entry-cut-off'],
      ],
      whole: [],
    });
  });

  test('does not contain an entry beyond its size that breaks another rule', () => {
    const bytes = Buffer.concat([a, stored({ name: 'x', type: 7 })]);
    expect(examined(bytes, { bitmapCount: 2, sizeBytes: 32 })).toMatchObject({ entries: [['a', 0, '']] });
  });

  test('ends in the middle of an entry if its size ends there', () => {
    expect(examined(two, { bitmapCount: 2, sizeBytes: 40 }).entries).toEqual([
      ['a', 0, ''],
      ['b', 32, 'entry-cut-off'],
    ]);
    expect(examined(two.subarray(0, 40), { bitmapCount: 2, sizeBytes: 40 }).entries).toEqual([
      ['a', 0, ''],
      [undefined, 32, 'entry-cut-off'],
    ]);
    expect(examined(two.subarray(0, 56), { bitmapCount: 2, sizeBytes: 56 }).entries).toEqual([
      ['a', 0, ''],
      [undefined, 32, 'entry-cut-off'],
    ]);
  });

  test('contains the entries in the file if the file ends before it', () => {
    const whole = [expect.stringContaining('2 entries found, the extension counts 3')];
    expect(examined(two, { bitmapCount: 3, sizeBytes: 96 })).toEqual({ entries: twoSound, whole });
  });

  test('without a size contains the counted entries', () => {
    expect(examined(Buffer.concat([two, c]), { bitmapCount: 2 })).toEqual({ entries: twoSound, whole: [] });
  });

  test('without a count contains the entries within its size', () => {
    expect(examined(Buffer.concat([two, c]), { sizeBytes: 64 })).toEqual({ entries: twoSound, whole: [] });
  });

  test('without a count and a size contains the entries that keep all other rules, as cut off', () => {
    expect(examined(Buffer.concat([two, Buffer.alloc(32)]), {})).toEqual({
      entries: [
        ['a', 0, 'entry-cut-off'],
        ['b', 32, 'entry-cut-off'],
      ],
      whole: [],
    });
  });

  test('without a count and a size does not contain an entry that breaks another rule', () => {
    expect(examined(Buffer.concat([stored({ type: 7 }), b]), {})).toEqual({ entries: [], whole: [] });
  });

  test('of zeros contains one broken entry and nothing after it', () => {
    const { entries } = examined(Buffer.concat([Buffer.alloc(32), b]), { bitmapCount: 2, sizeBytes: 64 });
    expect(entries).toHaveLength(1);
    expect(entries[0]?.[2]).toContain('entry-type');
  });

  test('without an offset is described by offsets within the directory', () => {
    const { entries } = examineBitmapDirectory(
      two,
      { offset: undefined, bitmapCount: 2, sizeBytes: 64 },
      header,
    );
    expect(entries.map(({ offset }) => offset)).toEqual([0, 32]);
  });
});

describe('after an entry with a wrong length', () => {
  const nonsense = stored({ name: 'lost' });
  nonsense.writeUInt16BE(0xffff, 18);

  test('the next entries are those that keep every rule up to the end', () => {
    const bytes = Buffer.concat([a, nonsense, b, c]);
    expect(examined(bytes, { bitmapCount: 4, sizeBytes: 128 }).entries).toEqual([
      ['a', 0, ''],
      [undefined, 32, 'entry-cut-off'],
      ['b', 64, ''],
      ['c', 96, ''],
    ]);
  });

  test('nothing is read from that entry, even if all its fields are within the directory', () => {
    const long = stored({ name: 'lost' });
    long.writeUInt16BE(100, 18);
    const bytes = Buffer.concat([long, b, Buffer.alloc(256)]);
    expect(examined(bytes, { bitmapCount: 2, sizeBytes: 64 }).entries).toEqual([
      [undefined, 0, 'entry-cut-off'],
      ['b', 32, ''],
    ]);
  });

  test('the only sound entry may be the last one', () => {
    const bytes = Buffer.concat([nonsense, c, Buffer.alloc(64)]);
    expect(examined(bytes, { bitmapCount: 2, sizeBytes: 64 }).entries).toEqual([
      [undefined, 0, 'entry-cut-off'],
      ['c', 32, ''],
    ]);
  });

  test('no entry is found if the last one breaks a rule', () => {
    const bytes = Buffer.concat([nonsense, b, stored({ name: 'c', type: 9 })]);
    expect(examined(bytes, { bitmapCount: 3, sizeBytes: 96 }).entries).toEqual([
      [undefined, 0, 'entry-cut-off'],
    ]);
  });

  test('no entry is found that ends before the end of the directory', () => {
    const bytes = Buffer.concat([nonsense, b, Buffer.alloc(24)]);
    expect(examined(bytes, { bitmapCount: 2, sizeBytes: bytes.length }).entries).toEqual([
      [undefined, 0, 'entry-cut-off'],
    ]);
  });
});

test('a directory contains at most as many entries as QEMU allows', () => {
  const bytes = Buffer.alloc(65_536 * 32);
  for (let index = 0; index < 65_536; index++) a.copy(bytes, index * 32);
  const { entries } = examineBitmapDirectory(
    bytes,
    { offset: OFFSET, bitmapCount: undefined, sizeBytes: bytes.length },
    header,
  );
  expect(entries).toHaveLength(65_535);
});
