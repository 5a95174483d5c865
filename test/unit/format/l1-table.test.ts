/** L1 entries are offsets of L2 tables with any COPIED bit, and nothing else. */
import { describe, expect, test } from 'vitest';
import { decodeL1Table } from '../../../src/format/l1-table.ts';
import { geometry } from './stored-header.ts';

function stored(...entries: bigint[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * 8);
  entries.forEach((entry, index) => {
    new DataView(bytes.buffer).setBigUint64(index * 8, entry);
  });
  return bytes;
}

const copied = 1n << 63n;

describe('the L1 table', () => {
  test('gives the offset of each L2 table, or 0 if there is none', () => {
    const bytes = stored(0n, 0x30000n, copied | 0x40000n, copied, copied | 0xff_ffff_ffff_0000n);
    expect([...decodeL1Table(bytes, geometry(16), 'L1')]).toEqual([
      0, 0x30000, 0x40000, 0, 0xff_ffff_ffff_0000,
    ]);
  });

  test.each(Array.from({ length: 7 }, (_, index) => 56 + index))(
    'refuses an entry with reserved bit %i set',
    (bit) => {
      const entry = copied | 0x30000n | (1n << BigInt(bit));
      expect(() => decodeL1Table(stored(0n, entry), geometry(16), 'the active L1 table')).toThrow(
        `the active L1 table entry 1: 0x${entry.toString(16)} has reserved bits set or an offset that is not a multiple of the cluster size`,
      );
    },
  );

  test.each([9, 14, 16, 21])('refuses an unaligned offset, for clusters of 2^%i bytes', (clusterBits) => {
    for (let bit = 0; bit < clusterBits; bit++) {
      expect(() => decodeL1Table(stored(1n << BigInt(bit)), geometry(clusterBits), 'L1')).toThrow('entry 0');
    }
    const aligned = 1n << BigInt(clusterBits);
    expect([...decodeL1Table(stored(aligned), geometry(clusterBits), 'L1')]).toEqual([Number(aligned)]);
  });
});
