/**
 * A change of bitmaps never claims a cluster with a reference, even if its refcount is 0, and never stores an
 * empty name.
 */
import { expect, test } from 'vitest';
import { cleanBitmap } from '../../../src/bitmap/dirty-bitmap.ts';
import { censusOf } from '../../../src/census/census.ts';
import { storeNew } from '../../../src/plan/bitmap-slot.ts';
import { planBitmaps } from '../../../src/plan/plan-bitmaps.ts';
import { buildImage } from '../image/built-image.ts';

const CLUSTER = 512;

const bitmapNamed = (name: string) => storeNew(name, true, cleanBitmap(512, 9));

test.each([
  ['the header', 0],
  ['the refcount table', 1],
  ['the L1 table', 2],
  ['a refcount block', 3],
])('%s is not claimed although its refcount is 0', async (_, cluster) => {
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 8 });
  await image.storage.write(3 * CLUSTER + 2 * cluster, new Uint8Array(2));
  const { steps } = await planBitmaps(await censusOf(image), {
    present: [],
    wanted: [bitmapNamed('b')],
  });
  const places = steps.flatMap((step) =>
    step.kind === 'write' && /table of bitmap|bitmap directory/.test(step.reason)
      ? [step.offset / CLUSTER]
      : [],
  );
  expect(places.toSorted()).toEqual([4, 5]);
});

test('a bitmap with an empty name is not stored', async () => {
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 8 });
  const change = { present: [], wanted: [bitmapNamed('a'), bitmapNamed('')] };
  await expect(planBitmaps(await censusOf(image), change)).rejects.toThrow('without a name');
});
