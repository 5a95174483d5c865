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

test('the order of writes goes from the bottom up, without images that need no write', () => {
  expect(order({ a: 'add' }, { a: 'add' }, { a: 'keep' }, { a: 'rebuild' })).toEqual([3, 1, 0]);
  expect(order({ a: 'top-up' }, { a: 'top-up' }, { a: 'keep' })).toEqual([1, 0]);
});

test('an image because of which libvirt refuses a checkpoint is written last for that checkpoint', () => {
  expect(order({ a: 'top-up' }, { a: 'rebuild' })).toEqual([0, 1]);
  expect(order({ a: 'top-up' }, { a: 'add' }, { a: 'rebuild' })).toEqual([2, 0, 1]);
  expect(order({ a: 'keep', b: 'add' }, { a: 'top-up', b: 'keep' }, { a: 'enable' })).toEqual([1, 2, 0]);
});

test('a bitmap below all others is not one that libvirt misses', () => {
  expect(order({ a: 'top-up' }, { a: 'enable' }, { a: 'add' })).toEqual([2, 0, 1]);
  expect(order({ a: 'add' }, { a: 'add' })).toEqual([1, 0]);
  // Where libvirt accepts what there is, no order hides it.
  expect(order({ a: 'top-up' }, { a: 'add' })).toEqual([1, 0]);
});

test('every image is written once even if checkpoints need opposite orders', () => {
  expect(order({ a: 'top-up', b: 'add' }, { a: 'rebuild', b: 'top-up' }, { b: 'keep' })).toEqual([1, 0]);
});
