/** Refcount blocks of every width and the refcount table, compared with a big-integer reading of the specification. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  areFree,
  clustersPerRefcountBlock,
  decodeRefcountTable,
  encodeRefcountTableEntries,
  isFree,
  markCounted,
  readRefcount,
  writeRefcount,
} from '../../../src/format/refcounts.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { geometry } from './stored-header.ts';

const orders = [0, 1, 2, 3, 4, 5, 6];

/** The whole block as numbers: narrow entries fill a byte from its lowest bits, wide ones are big-endian. */
function naive(block: Uint8Array, order: number): bigint[] {
  const width = 2 ** order;
  if (width < 8) {
    return [...block].flatMap((byte) =>
      Array.from({ length: 8 / width }, (_, index) => BigInt((byte >> (index * width)) & (2 ** width - 1))),
    );
  }
  const bytes = width / 8;
  return Array.from({ length: block.length / bytes }, (_, index) =>
    block.subarray(index * bytes, (index + 1) * bytes).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
  );
}

const anyBlock = fc
  .tuple(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.nat(9))
  .map(([bytes, before]) => {
    const around = new Uint8Array(before + 64 + 3);
    around.set(bytes, before);
    return around.subarray(before, before + 64);
  });

/** Mostly zeros, as blocks are. */
const anySparseBlock = fc
  .array(fc.tuple(fc.nat(63), fc.integer({ min: 1, max: 255 })), { maxLength: 6 })
  .map((changes) => {
    const block = new Uint8Array(64);
    for (const [at, value] of changes) block[at] = value;
    return block;
  });

describe.each(orders)('refcounts of order %i', (order) => {
  const count = 512 / 2 ** order;
  const greatest = 2n ** BigInt(2 ** order) - 1n;

  test('are read as the specification packs them', () => {
    fc.assert(
      fc.property(anyBlock, (block) => {
        const read = Array.from({ length: count }, (_, index) => readRefcount(block, index, order));
        expectEqual(read, naive(block, order));
      }),
    );
  });

  test('are written without a change of their neighbours', () => {
    fc.assert(
      fc.property(
        anyBlock,
        fc.nat(count - 1),
        fc.bigInt({ min: 0n, max: greatest }),
        (block, index, value) => {
          const expected = naive(block, order);
          expected[index] = value;
          writeRefcount(block, index, order, value);
          expectEqual(naive(block, order), expected);
        },
      ),
    );
  });

  test('are free if they are 0', () => {
    fc.assert(
      fc.property(anySparseBlock, (block) => {
        const free = Array.from({ length: count }, (_, index) => isFree(block, index, order));
        expectEqual(
          free,
          naive(block, order).map((value) => value === 0n),
        );
      }),
    );
  });

  test('are free in a range if all bytes that contain a part of it are 0', () => {
    fc.assert(
      fc.property(anySparseBlock, fc.nat(count), fc.nat(count), (block, one, other) => {
        const [start, end] = [Math.min(one, other), Math.max(one, other)];
        const width = 2 ** order / 8;
        const bytes = block.subarray(Math.floor(start * width), Math.ceil(end * width));
        expect(areFree(block, start, end, order)).toBe(bytes.every((byte) => byte === 0));
      }),
    );
  });

  test('are marked for a whole block if they are not 0', () => {
    fc.assert(
      fc.property(anySparseBlock, (block) => {
        const counted = new Uint8Array(count / 8).fill(0xee);
        markCounted(block, order, counted);
        const marked = Array.from(
          { length: count },
          (_, index) => ((counted[index >> 3]! >> (index & 7)) & 1) === 1,
        );
        expectEqual(
          marked,
          naive(block, order).map((value) => value !== 0n),
        );
      }),
    );
  });

  test('are marked correctly if the block is a part of a larger array', () => {
    const around = new Uint8Array(64 * 3);
    around.fill(0xff, 0, 64).fill(0xff, 128);
    const counted = new Uint8Array(count / 8);
    markCounted(around.subarray(64, 128), order, counted);
    expect(counted.every((byte) => byte === 0)).toBe(true);
  });

  test.each([9, 16, 21])('fill a block of 2^%i bytes', (clusterBits) => {
    const header = geometry(clusterBits, false, { refcount_order: order });
    expect(clustersPerRefcountBlock(header)).toBe((2 ** clusterBits * 8) / 2 ** order);
  });
});

describe('the refcount table', () => {
  const header = geometry(16);
  const stored = (...entries: bigint[]) => {
    const bytes = new Uint8Array(entries.length * 8);
    entries.forEach((entry, index) => {
      new DataView(bytes.buffer).setBigUint64(index * 8, entry);
    });
    return bytes;
  };

  test('gives the offset of each block, or 0 if there is none', () => {
    const table = decodeRefcountTable(stored(0n, 0x20000n, 0x1f_ffff_ffff_0000n), header);
    expect([...table]).toEqual([0, 0x20000, 0x1f_ffff_ffff_0000]);
  });

  test('is written as it was read', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2 ** 37 - 1), { maxLength: 40, size: 'max' }), (clusters) => {
        const bytes = stored(...clusters.map((cluster) => BigInt(cluster) * 65536n));
        expect(encodeRefcountTableEntries(decodeRefcountTable(bytes, header))).toEqual(bytes);
      }),
    );
  });

  test.each([0, 1])('refuses an entry of all ones, number %i', (index) => {
    const entries = [0x20000n, 0x20000n];
    entries[index] = 2n ** 64n - 1n;
    expect(() => decodeRefcountTable(stored(...entries), header)).toThrow(
      `refcount table entry ${index}: 0xffffffffffffffff has`,
    );
  });

  test.each([
    ['a reserved bit', 0x20001n],
    ['bit 8, the highest reserved one', 0x20100n],
    ['an offset that is not a multiple of the cluster size', 0x20200n],
    ['an offset beyond 2^53', 1n << 60n],
  ])('refuses an entry with %s, and names it', (_, entry) => {
    expect(() => decodeRefcountTable(stored(0n, entry), header)).toThrow(
      `refcount table entry 1: 0x${entry.toString(16)} has`,
    );
  });
});
