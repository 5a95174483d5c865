/** A change of bitmaps never claims a cluster with a reference, even if its refcount is 0. */
import { expect, test } from 'vitest';
import { cleanBitmap } from '../../../src/bitmap/dirty-bitmap.ts';
import { censusOf } from '../../../src/census/census.ts';
import { planBitmaps } from '../../../src/plan/plan-bitmaps.ts';
import { buildImage } from '../image/built-image.ts';

const CLUSTER = 512;

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
    wanted: [
      { kind: 'store', nameBytes: Buffer.from('b'), name: 'b', auto: true, bitmap: cleanBitmap(512, 9) },
    ],
  });
  const places = steps.flatMap((step) =>
    step.kind === 'write' && /table of bitmap|bitmap directory/.test(step.reason)
      ? [step.offset / CLUSTER]
      : [],
  );
  expect(places.toSorted()).toEqual([4, 5]);
});
