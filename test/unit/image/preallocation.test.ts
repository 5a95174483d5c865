/** QEMU's rule for preallocated images: their refcounts count more clusters than their file has space for. */
import { expect, test } from 'vitest';
import { seemsPreallocated } from '../../../src/image/preallocation.ts';
import { buildImage } from './built-image.ts';

/** The lowest clusters are counted, so many. */
const counted = (count: number) => Array.from({ length: count }, (_, cluster) => cluster);
const image = async (clusterCount: number, count: number) =>
  (await buildImage({ clusterBits: 9, refcountOrder: 6, clusterCount, counted: counted(count) })).image;

test('a small image seems preallocated with at least two clusters more than its data needs', async () => {
  const few = await image(40, 12);
  expect(await seemsPreallocated(few, 10 * 512)).toBe(true);
  expect(await seemsPreallocated(few, 10 * 512 + 511)).toBe(true);
  expect(await seemsPreallocated(few, 11 * 512)).toBe(false);
  expect(await seemsPreallocated(few, 40 * 512)).toBe(false);
});

test('a large image seems preallocated with at least a ninth more clusters than its data needs', async () => {
  // 90 have room: 100 are enough, and 99 are not.
  for (const [count, expected] of [
    [100, true],
    [99, false],
  ] as const)
    expect(await seemsPreallocated(await image(200, count), 90 * 512)).toBe(expected);
  // 95 have room: 105.5… are enough, rounded down.
  expect(await seemsPreallocated(await image(200, 105), 95 * 512)).toBe(true);
});

test('only clusters of the file count, in every existing block', async () => {
  const { image: sparse } = await buildImage({
    clusterBits: 9,
    refcountOrder: 6,
    clusterCount: 150,
    counted: counted(150),
    missingBlocks: [1],
  });
  // 64 in the first block, none in the second, 22 in the third.
  expect(await seemsPreallocated(sparse, 79 * 512)).toBe(false);
  expect(await seemsPreallocated(sparse, 78 * 512)).toBe(true);
  const { image: cut } = await buildImage({
    clusterBits: 9,
    refcountOrder: 4,
    clusterCount: 30,
    counted: counted(30),
  });
  const shorter = { ...cut, storage: { ...cut.storage, sizeBytes: 20 * 512 - 1 } };
  expect(await seemsPreallocated(shorter, 18 * 512)).toBe(true);
  expect(await seemsPreallocated(shorter, 19 * 512)).toBe(false);
});

test('clusters beyond the end of the file do not count, even in its last block', async () => {
  const beyond = Array.from({ length: 48 }, (_, index) => 80 + index);
  const { image: long } = await buildImage({
    clusterBits: 9,
    refcountOrder: 6,
    clusterCount: 128,
    counted: [...counted(70), ...beyond],
  });
  const cut = { ...long, storage: { ...long.storage, sizeBytes: 80 * 512 } };
  expect(await seemsPreallocated(cut, 72 * 512)).toBe(false);
});

test('the refcounts of a shorter file are not read', async () => {
  const few = await image(12, 12);
  const unread = {
    ...few,
    storage: { ...few.storage, sizeBytes: 12 * 512, read: () => expect.unreachable() },
  };
  expect(await seemsPreallocated(unread, 11 * 512)).toBe(false);
  await expect(seemsPreallocated(unread, 10 * 512)).rejects.toThrow();
});

test('an image with broken refcounts does not seem preallocated', async () => {
  const { image: broken, refcounts } = await buildImage({
    clusterBits: 9,
    refcountOrder: 6,
    clusterCount: 80,
  });
  expect(refcounts.blockOffsets[1]).not.toBe(0);
  // The first block is beyond the end of the file.
  await broken.storage.write(512, Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0));
  expect(await seemsPreallocated(broken, 0)).toBe(false);
});
