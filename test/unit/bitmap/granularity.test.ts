/** The granularity of new bitmaps: the default and QEMU's limits. */
import { describe, expect, test } from 'vitest';
import {
  defaultGranularityBits,
  granularityBitsOf,
  isStorable,
  ownGranularityBits,
  requireBitmapMemory,
  requireStorableSize,
  storableGranularityBits,
} from '../../../src/bitmap/granularity.ts';
import { openImage } from '../../../src/image/image.ts';
import { memoryStorage } from '../../support/memory.ts';
import { geometry, storedHeader } from '../format/stored-header.ts';

/** QEMU stores at most 512 MiB of bits, so this many bytes of a disk at the finest granularity. */
const MOST_AT_512 = 2 ** 32 * 512;

describe('the granularity', () => {
  test.each([
    [9, 12],
    [12, 12],
    [13, 13],
    [16, 16],
    [17, 16],
    [21, 16],
  ])('for clusters of 2^%i bytes is 2^%i bytes by default', (clusterBits, granularityBits) => {
    expect(defaultGranularityBits(geometry(clusterBits))).toBe(granularityBits);
    expect(storableGranularityBits(geometry(clusterBits))).toBe(granularityBits);
  });

  test('is coarser if QEMU could not store the bitmap', () => {
    const sizes = [2 ** 48, 2 ** 48 + 512, 2 ** 49, 2 ** 49 + 512];
    expect(sizes.map((size) => storableGranularityBits(geometry(21, false, { size })))).toEqual([
      16, 17, 17, 18,
    ]);
  });

  test('of an exact bitmap is the cluster or subcluster size, but never too fine to be stored', () => {
    expect(ownGranularityBits(geometry(9))).toBe(9);
    expect(ownGranularityBits(geometry(16))).toBe(16);
    expect(ownGranularityBits(geometry(16, true))).toBe(11);
    expect(ownGranularityBits(geometry(21))).toBe(21);
    expect(ownGranularityBits(geometry(16, true, { size: 2 ** 43 }))).toBe(11);
    expect(ownGranularityBits(geometry(16, true, { size: 2 ** 43 + 512 }))).toBe(12);
  });
});

test('a bitmap of up to 512 MiB can be stored', () => {
  expect(isStorable(MOST_AT_512, 9)).toBe(true);
  expect(isStorable(MOST_AT_512 + 1, 9)).toBe(false);
  expect(isStorable(MOST_AT_512 + 1, 10)).toBe(true);
});

test('a granularity is a power of two from 512 bytes to 2 GiB', () => {
  expect([512, 65536, 2 ** 31].map(granularityBitsOf)).toEqual([9, 16, 31]);
  for (const bytes of [0, 1, 256, 513, 65535, 98304, 2 ** 32]) {
    expect(() => granularityBitsOf(bytes)).toThrow(`granularity is ${bytes} bytes, must be a power of two`);
  }
});

describe('a bitmap is refused', () => {
  const imageOf = (size: number) =>
    openImage(memoryStorage(storedHeader({ cluster_bits: 21, size }), { name: 'disk.qcow2' }));

  test('of a disk of 0 bytes, as by QEMU', async () => {
    const image = await imageOf(0);
    expect(() => requireStorableSize(image, 16)).toThrow(
      'disk.qcow2: a disk of 0 bytes cannot have a bitmap',
    );
    const least = await imageOf(512);
    expect(requireStorableSize(least, 16)).toBeUndefined();
  });

  test('if QEMU could not store it, with the least granularity that can be stored', async () => {
    const image = await imageOf(MOST_AT_512);
    expect(requireStorableSize(image, 9)).toBeUndefined();
    const larger = await imageOf(4 * MOST_AT_512 + 512);
    expect(() => requireStorableSize(larger, 10)).toThrow(
      expect.objectContaining({
        code: 'BITMAP_LIMIT',
        message:
          'disk.qcow2: at a granularity of 1024 a bitmap of this disk takes 1073741825 bytes, QEMU allows 536870912',
        remedy: { kind: 'coarsen-granularity', leastBytes: 4096 },
      }),
    );
  });

  test('with others that together take more than 1 GiB of memory', async () => {
    const image = await imageOf(512);
    expect(requireBitmapMemory(image, 2, 2 ** 30)).toBeUndefined();
    expect(() => requireBitmapMemory(image, 3, 2 ** 30 + 1)).toThrow(
      'disk.qcow2: 3 bitmaps would take 1073741825 bytes of memory, one change may take 1073741824',
    );
  });
});
