/** The stored form of the bitmap directory. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import {
  type BitmapDirectoryEntry,
  bitmapBytes,
  bitmapDirectoryBytes,
  bitmapTableEntryCount,
  encodeBitmapDirectory,
  isGranularity,
  MAX_ENTRY_BYTES,
} from '../../../src/format/bitmap-directory.ts';
import { parseBitmapDirectory } from '../../../src/format/parse-directory.ts';
import { geometry } from './stored-header.ts';

const header = geometry(16, false, { size: 2 ** 30 });
const nameBytes = (name: string) => new TextEncoder().encode(name);

const anyEntries = fc.uniqueArray(
  fc
    .record({
      name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
      granularityBits: fc.integer({ min: 9, max: 31 }),
      auto: fc.boolean(),
      inUse: fc.boolean(),
      tableOffset: fc.integer({ min: 1, max: 2 ** 30 }).map((cluster) => hostOffset(cluster * 65536)),
    })
    .map(
      (entry): BitmapDirectoryEntry => ({
        ...entry,
        nameBytes: nameBytes(entry.name),
        tableEntryCount: bitmapTableEntryCount(header.virtualSizeBytes, entry.granularityBits, header),
      }),
    ),
  { minLength: 1, maxLength: 8, selector: ({ name }) => name },
);

describe('a bitmap directory', () => {
  test('is stored as the specification says', () => {
    const entry: BitmapDirectoryEntry = {
      nameBytes: nameBytes('ab'),
      name: 'ab',
      granularityBits: 16,
      auto: true,
      inUse: false,
      tableOffset: hostOffset(0x1234560000),
      tableEntryCount: 1,
    };
    expect(Buffer.from(encodeBitmapDirectory([entry])).toString('hex')).toBe(
      [
        '0000001234560000',
        '00000001',
        '00000002',
        '01',
        '10',
        '0002',
        '00000000',
        '6162',
        '000000000000',
      ].join(''),
    );
    const inUse = encodeBitmapDirectory([{ ...entry, auto: false, inUse: true }]);
    expect(inUse[15]).toBe(1);
  });

  test('is read as it was written, and has the size that was calculated', () => {
    fc.assert(
      fc.property(anyEntries, (entries) => {
        const bytes = encodeBitmapDirectory(entries);
        expect(bytes.length).toBe(bitmapDirectoryBytes(entries));
        const location = {
          bitmapCount: entries.length,
          offset: hostOffset(0x50000),
          sizeBytes: bytes.length,
        };
        expect(parseBitmapDirectory(bytes, location, header)).toEqual(entries);
      }),
    );
  });

  test('is read or refused with any single byte changed', () => {
    fc.assert(
      fc.property(anyEntries, fc.nat(), fc.integer({ min: 1, max: 255 }), (entries, at, change) => {
        const bytes = encodeBitmapDirectory(entries);
        bytes[at % bytes.length]! ^= change;
        const location = {
          bitmapCount: entries.length,
          offset: hostOffset(0x50000),
          sizeBytes: bytes.length,
        };
        try {
          expect(parseBitmapDirectory(bytes, location, header)).toHaveLength(entries.length);
        } catch (error) {
          expect(error).toMatchObject({ name: 'Error', code: 'INVALID_IMAGE' });
          expect((error as Error).message).toMatch(/^bitmap directory (entry \d+ )?at 0x5[0-9a-f]{4}/);
        }
      }),
    );
  });

  test('has entries of at most 1048 bytes', () => {
    expect(bitmapDirectoryBytes([{ nameBytes: nameBytes('n'.repeat(1023)) }])).toBe(1048);
    expect(MAX_ENTRY_BYTES).toBe(1048);
  });
});

describe('the size of a bitmap', () => {
  test.each([
    [0, 16, 0, 0],
    [1, 16, 1, 1],
    [8 * 65536, 16, 1, 1],
    [8 * 65536 + 512, 16, 2, 1],
    [2 ** 35, 16, 65536, 1],
    [2 ** 35 + 512, 16, 65537, 2],
    [2 ** 50, 31, 65536, 1],
  ])(
    'of a disk of %i bytes at 2^%i is %i bytes, %i table entries',
    (size, granularityBits, bytes, entries) => {
      expect(bitmapBytes(size, granularityBits)).toBe(bytes);
      expect(bitmapTableEntryCount(size, granularityBits, header)).toBe(entries);
    },
  );
});

test('a granularity is 2^9 to 2^31 bytes', () => {
  expect([8, 9, 31, 32].map(isGranularity)).toEqual([false, true, true, false]);
});
