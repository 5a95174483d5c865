/** Refcounts held against references, a block at a time: what a look at each cluster says. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { getBit } from '../../src/bytes/bits.ts';
import { compareRefcounts } from '../../src/image/compare-refcounts.ts';
import { buildImage, referencing } from './built-image.ts';

const layouts = fc.record({
  clusterBits: fc.constantFrom(9, 10),
  refcountOrder: fc.integer({ min: 0, max: 6 }),
  clusterCount: fc.integer({ min: 40, max: 400 }),
  counted: fc.array(fc.nat({ max: 500 })),
  missingBlocks: fc.subarray([1, 2, 3]),
});

test('what is counted and not pointed at has leaked; the other way round it is not counted', async () => {
  await fc.assert(
    fc.asyncProperty(
      layouts,
      fc.array(fc.nat({ max: 399 })),
      fc.array(fc.nat({ max: 399 })),
      async (layout, ofDisk, ofBitmaps) => {
        const { image, refcounts, counted } = await buildImage(layout);
        const sets = [ofDisk, ofBitmaps].map((clusters) => referencing(image, clusters));
        const found = { leaked: [] as number[], uncounted: [] as number[] };
        await compareRefcounts(image, refcounts, sets, ({ start, count, leaked, uncounted }) => {
          for (let index = 0; index < count; index++) {
            if (getBit(leaked, index)) found.leaked.push(start + index);
            if (getBit(uncounted, index)) found.uncounted.push(start + index);
          }
        });
        const pointedAt = new Set(
          [...ofDisk, ...ofBitmaps].filter((cluster) => cluster < layout.clusterCount),
        );
        const without = (a: Set<number>, b: Set<number>) => [...a].filter((cluster) => !b.has(cluster));
        const sorted = (clusters: number[]) => clusters.sort((a, b) => a - b);
        expect(sorted(found.leaked)).toEqual(sorted(without(counted, pointedAt)));
        expect(sorted(found.uncounted)).toEqual(sorted(without(pointedAt, counted)));
      },
    ),
  );
});
