/** L2 entries bit by bit, compared with a big-integer reading of the specification. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { guestOffset, hostOffset } from '../../../src/format/addresses.ts';
import { type Header, l2EntriesPerTable } from '../../../src/format/header.ts';
import { type Cluster, contentMask, decodeL2Entry } from '../../../src/format/l2-entry.ts';
import { readL2Entry } from '../../../src/format/l2-table.ts';
import { geometry, parsedHeader } from './stored-header.ts';

const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;

function decode(header: Header, entry: bigint, bitmap = 0n, offset = 0): Cluster {
  const table = new Uint8Array(32);
  const data = new DataView(table.buffer);
  const entryBytes = header.hasExtendedL2 ? 16 : 8;
  data.setBigUint64(entryBytes, entry);
  if (header.hasExtendedL2) data.setBigUint64(entryBytes + 8, bitmap);
  return decodeL2Entry(readL2Entry(table, 1, header), guestOffset(offset), header);
}

const standard = geometry(16);
const extended = geometry(16, true);
const withDataFile = parsedHeader({ incompatible_features: 1n << 2n });
const version2 = parsedHeader({ version: 2 });

describe('a standard entry', () => {
  test.each<[string, Header, bigint, Cluster, number]>([
    ['nothing', standard, 0n, { kind: 'unallocated' }, 0],
    ['COPIED without an offset', standard, COPIED, { kind: 'unallocated' }, 0],
    ['an offset', standard, 0x50000n, { kind: 'data', hostOffset: hostOffset(0x50000) }, 1],
    [
      'an offset and COPIED',
      standard,
      COPIED | 0x50000n,
      { kind: 'data', hostOffset: hostOffset(0x50000) },
      1,
    ],
    [
      'the highest offset',
      standard,
      0xff_ffff_ffff_0000n,
      { kind: 'data', hostOffset: hostOffset(0xff_ffff_ffff_0000) },
      1,
    ],
    ['the zero flag alone', standard, 1n, { kind: 'zero', hostOffset: undefined }, 1],
    ['the zero flag and an offset', standard, 0x50001n, { kind: 'zero', hostOffset: hostOffset(0x50000) }, 1],
    [
      'an offset in version 2',
      version2,
      COPIED | 0x50000n,
      { kind: 'data', hostOffset: hostOffset(0x50000) },
      1,
    ],
  ])('with %s', (_, header, entry, cluster, mask) => {
    expect(decode(header, entry)).toEqual(cluster);
    expect(contentMask(decode(header, entry), 'allocated', header)).toBe(mask);
  });

  test.each([...Array.from({ length: 8 }, (_, bit) => bit + 1), 56, 57, 58, 59, 60, 61])(
    'is refused with reserved bit %i set',
    (bit) => {
      const entry = COPIED | 0x80_9005_0000n | (1n << BigInt(bit));
      expect(() => decode(standard, entry, 0n, 0x70000)).toThrow(
        `L2 entry of the cluster at 0x70000: 0x${entry.toString(16)} has reserved bits set`,
      );
    },
  );

  test.each([10, 14, 21])('is refused with an offset below the cluster size of 2^%i', (clusterBits) => {
    for (let bit = 9; bit < clusterBits; bit++) {
      expect(() => decode(geometry(clusterBits), 1n << BigInt(bit))).toThrow(
        'not a multiple of the cluster size',
      );
    }
  });

  test('is refused with the zero flag in a version 2 image', () => {
    expect(() => decode(version2, 1n)).toThrow('has the zero flag, which version 2 lacks');
  });
});

describe('an entry of an image with an external data file', () => {
  test.each<[string, bigint, number, Cluster]>([
    ['offset 0 with COPIED is the first cluster', COPIED, 0, { kind: 'data', hostOffset: hostOffset(0) }],
    ['offset 0 without COPIED is nothing', 0n, 0, { kind: 'unallocated' }],
    ['its own offset', COPIED | 0x30000n, 0x30000, { kind: 'data', hostOffset: hostOffset(0x30000) }],
    [
      'zeros that keep their place',
      COPIED | 0x30001n,
      0x30000,
      { kind: 'zero', hostOffset: hostOffset(0x30000) },
    ],
    ['zeros without a place', 1n, 0x30000, { kind: 'zero', hostOffset: undefined }],
  ])('%s', (_, entry, offset, cluster) => {
    expect(decode(withDataFile, entry, 0n, offset)).toEqual(cluster);
  });

  test('is refused if it does not point at its own offset', () => {
    expect(() => decode(withDataFile, COPIED | 0x30000n, 0n, 0x40000)).toThrow(
      'does not point at the same offset of the external data file',
    );
  });

  test('is refused when it is compressed', () => {
    expect(() => decode(withDataFile, COMPRESSED | 0x30000n)).toThrow('external data file does not allow');
  });
});

describe('an extended entry', () => {
  test.each<[string, bigint, bigint, Cluster, number]>([
    ['nothing', 0n, 0n, { kind: 'unallocated' }, 0],
    [
      'a host cluster and no subcluster',
      COPIED | 0x50000n,
      0n,
      { kind: 'subclusters', hostOffset: hostOffset(0x50000), dataMask: 0, zeroMask: 0 },
      0,
    ],
    [
      'data in subclusters 0 and 31',
      0x50000n,
      0x80000001n,
      { kind: 'subclusters', hostOffset: hostOffset(0x50000), dataMask: 0x80000001, zeroMask: 0 },
      0x80000001,
    ],
    [
      'zeros in subcluster 31, data in 0',
      0x50000n,
      0x80000000_00000001n,
      { kind: 'subclusters', hostOffset: hostOffset(0x50000), dataMask: 1, zeroMask: 0x80000000 },
      0x80000001,
    ],
    [
      'zeros without a host cluster',
      0n,
      0xffffffff_00000000n,
      { kind: 'subclusters', hostOffset: undefined, dataMask: 0, zeroMask: 0xffffffff },
      0xffffffff,
    ],
  ])('with %s', (_, entry, bitmap, cluster, mask) => {
    expect(decode(extended, entry, bitmap)).toEqual(cluster);
    expect(contentMask(decode(extended, entry, bitmap), 'allocated', extended)).toBe(mask);
  });

  test.each([
    [
      'bit 0, the zero flag of standard entries',
      0x50001n,
      0n,
      'has bit 0 set, which extended entries reserve',
    ],
    ['a subcluster both allocated and zero', 0x50000n, 0x8_00000008n, 'both allocated and zero'],
    ['subcluster 31 both', 0x50000n, 0x80000000_80000000n, 'both allocated and zero'],
    ['data without a host cluster', 0n, 1n, 'allocated without a host cluster'],
    [
      'subcluster bits in a compressed entry',
      COMPRESSED | 0x50000n,
      1n,
      'compressed and has subcluster bits',
    ],
    [
      'zero bits in a compressed entry',
      COMPRESSED | 0x50000n,
      1n << 32n,
      'compressed and has subcluster bits',
    ],
    ['a reserved bit', 0x50002n, 1n, 'has reserved bits set'],
  ])('is refused with %s', (_, entry, bitmap, complaint) => {
    expect(() => decode(extended, entry, bitmap)).toThrow(complaint);
  });

  test('holds the whole cluster if it is compressed', () => {
    expect(contentMask(decode(extended, COMPRESSED | 0x50000n), 'allocated', extended)).toBe(0xffffffff);
  });
});

describe('a compressed entry', () => {
  test.each(Array.from({ length: 13 }, (_, index) => 9 + index))(
    'consists of offset and sectors, split at bit 62 - (%i - 8)',
    (clusterBits) => {
      const header = geometry(clusterBits);
      const x = BigInt(62 - (clusterBits - 8));
      fc.assert(
        fc.property(
          fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
          fc.bigInt({ min: 0n, max: 2n ** 62n - 1n }),
          (at, bits) => {
            const offset = at & ((1n << x) - 1n);
            const further = bits >> x;
            const cluster = decode(header, COMPRESSED | (further << x) | offset);
            expect(cluster).toEqual({
              kind: 'compressed',
              hostOffset: Number(offset),
              lengthBytes: Number((further + 1n) * 512n - (offset % 512n)),
            });
            expect(contentMask(cluster, 'allocated', header)).toBe(1);
          },
        ),
      );
    },
  );
});

test('a cluster holds data if its entry does not read as zeros', () => {
  const data = (header: Header, entry: bigint, bitmap?: bigint) =>
    contentMask(decode(header, entry, bitmap), 'data', header);
  expect(data(standard, 0n)).toBe(0);
  expect(data(standard, 1n)).toBe(0);
  expect(data(standard, 0x50001n)).toBe(0);
  expect(data(standard, 0x50000n)).toBe(1);
  expect(data(standard, COMPRESSED | 0x50000n)).toBe(1);
  expect(data(extended, 0x50000n, 0x80000000_00000001n)).toBe(1);
  expect(data(extended, 0n, 0xffffffff_00000000n)).toBe(0);
});

test('an L2 table fills a cluster', () => {
  expect(l2EntriesPerTable(standard)).toBe(8192);
  expect(l2EntriesPerTable(extended)).toBe(4096);
});
