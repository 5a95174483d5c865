/** The order in which a repair writes the images of a chain. */
import { expect, test } from 'vitest';
import type { ImageRepair, RepairedBitmap } from '../../../../src/checkpoint/repair/image-repair.ts';
import { orderWrites } from '../../../../src/checkpoint/repair/order-writes.ts';

type Actions = Record<string, RepairedBitmap['action']>;

/** The places of the images in the order of their writes; 0 is the top. */
function order(...chain: Actions[]): number[] {
  const images = chain.map((actions) => {
    const bitmaps = Object.entries(actions).map(([name, action]) => ({ name, action }));
    const plan = bitmaps.some(({ action }) => action !== 'keep') ? {} : undefined;
    return { bitmaps, plan } as unknown as ImageRepair;
  });
  return orderWrites(images).map((image) => images.indexOf(image));
}

test('goes from the bottom up, and leaves out what has nothing to write', () => {
  expect(order({ a: 'add' }, { a: 'add' }, { a: 'keep' }, { a: 'rebuild' })).toEqual([3, 1, 0]);
  expect(order({ a: 'top-up' }, { a: 'top-up' }, { a: 'keep' })).toEqual([1, 0]);
});

test('writes last for a checkpoint an image because of which libvirt refuses it', () => {
  expect(order({ a: 'top-up' }, { a: 'rebuild' })).toEqual([0, 1]);
  expect(order({ a: 'top-up' }, { a: 'add' }, { a: 'rebuild' })).toEqual([2, 0, 1]);
  expect(order({ a: 'keep', b: 'add' }, { a: 'top-up', b: 'keep' }, { a: 'enable' })).toEqual([1, 2, 0]);
});

test('does not take a bitmap below all others for one that libvirt misses', () => {
  expect(order({ a: 'top-up' }, { a: 'enable' }, { a: 'add' })).toEqual([2, 0, 1]);
  expect(order({ a: 'add' }, { a: 'add' })).toEqual([1, 0]);
  // Where libvirt accepts what there is, no order hides it.
  expect(order({ a: 'top-up' }, { a: 'add' })).toEqual([1, 0]);
});

test('writes every image once where checkpoints want opposite orders', () => {
  expect(order({ a: 'top-up', b: 'add' }, { a: 'rebuild', b: 'top-up' }, { b: 'keep' })).toEqual([1, 0]);
});
