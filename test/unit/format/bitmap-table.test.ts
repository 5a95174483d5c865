/** Bitmap table entries: all clear, all set, or a cluster; anything else makes QEMU refuse the image. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import {
  type BitmapTableEntry,
  decodeBitmapTable,
  encodeBitmapTable,
  possibleDataOffsets,
} from '../../../src/format/bitmap-table.ts';
import { geometry } from './stored-header.ts';

function stored(...entries: bigint[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * 8);
  entries.forEach((entry, index) => {
    new DataView(bytes.buffer).setBigUint64(index * 8, entry);
  });
  return bytes;
}

const header = geometry(16);
const anyEntry: fc.Arbitrary<BitmapTableEntry> = fc.oneof(
  fc.constantFrom<BitmapTableEntry>('zeros', 'ones'),
  fc.integer({ min: 1, max: 2 ** 37 - 1 }).map((cluster) => ({ dataOffset: hostOffset(cluster * 65536) })),
);

describe('a bitmap table', () => {
  test('has 0 for clear, 1 for set, or the offset of a cluster', () => {
    expect(decodeBitmapTable(stored(0n, 1n, 0x50000n, 0xff_ffff_ffff_0000n), header)).toEqual([
      'zeros',
      'ones',
      { dataOffset: 0x50000 },
      { dataOffset: 2 ** 56 - 2 ** 16 },
    ]);
    expect(encodeBitmapTable(['zeros', 'ones', { dataOffset: hostOffset(0x50000) }])).toEqual(
      stored(0n, 1n, 0x50000n),
    );
  });

  test('is read as it was written', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 30, size: 'max' }), (entries) => {
        expect(decodeBitmapTable(encodeBitmapTable(entries), header)).toEqual(entries);
      }),
    );
  });

  test.each([
    ['an offset and bit 0', 0x50001n],
    ...Array.from({ length: 8 }, (_, bit) => [`reserved bit ${bit + 1}`, 1n << BigInt(bit + 1)] as const),
    ...Array.from({ length: 8 }, (_, bit) => [`reserved bit ${bit + 56}`, 1n << BigInt(bit + 56)] as const),
    ...Array.from(
      { length: 7 },
      (_, bit) => [`the unaligned offset 2^${bit + 9}`, 1n << BigInt(bit + 9)] as const,
    ),
  ] as const)('refuses an entry with %s', (_, entry) => {
    expect(() => decodeBitmapTable(stored(0n, 1n, entry), header)).toThrow(
      `bitmap table entry 2: 0x${entry.toString(16)} has reserved bits set`,
    );
  });
});

test('a table with broken entries may refer to every cluster in its entries, whatever other bits are set', () => {
  const entries = [
    0n,
    1n,
    0x50000n,
    0x60001n,
    0x7000_0000_0000n | 0x1fen,
    0xff00_0000_0008_0000n,
    0x90200n,
    0xffffn,
  ];
  expect(possibleDataOffsets(stored(...entries), header)).toEqual([
    0x50000, 0x60000, 0x7000_0000_0000, 0x80000, 0x90000,
  ]);
});
