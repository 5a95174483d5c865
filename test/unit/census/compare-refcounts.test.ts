/** Refcounts compared with references block by block, with the result of a comparison cluster by cluster. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { getBit } from '../../../src/bytes/bits.ts';
import { compareRefcounts } from '../../../src/census/compare-refcounts.ts';
import { type BuiltImage, buildImage, censusWith, referencing } from '../image/built-image.ts';

const layouts = fc.record({
  clusterBits: fc.constantFrom(9, 10),
  refcountOrder: fc.integer({ min: 0, max: 6 }),
  clusterCount: fc.integer({ min: 40, max: 400 }),
  counted: fc.array(fc.nat({ max: 500 })),
  missingBlocks: fc.subarray([1, 2, 3]),
});

test('a counted cluster without a reference has leaked, and an uncounted cluster with a reference has a refcount that is too low', async () => {
  await fc.assert(
    fc.asyncProperty(
      layouts,
      fc.array(fc.nat({ max: 399 })),
      fc.array(fc.nat({ max: 399 })),
      async (layout, ofDisk, ofBitmaps) => {
        const built = await buildImage(layout);
        const { image, counted } = built;
        const census = censusWith(built, ofDisk);
        const bitmaps = referencing(image, ofBitmaps);
        const found = { leaked: [] as number[], uncounted: [] as number[] };
        await compareRefcounts(census, bitmaps, ({ start, end, leaked, uncounted }) => {
          for (let index = 0; index < end - start; index++) {
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

const small = { clusterBits: 9, refcountOrder: 6, clusterCount: 200 };

/** The clusters at which each visit sees a difference. */
async function visits(built: BuiltImage, clusters: Iterable<number>) {
  const seen: { leaked: number[]; uncounted: number[] }[] = [];
  await compareRefcounts(
    censusWith(built, clusters),
    referencing(built.image, []),
    ({ start, end, leaked, uncounted }) => {
      const all = Array.from({ length: end - start }, (_, index) => index);
      const of = (bits: Uint8Array) =>
        all.filter((index) => getBit(bits, index)).map((index) => start + index);
      seen.push({ leaked: of(leaked), uncounted: of(uncounted) });
    },
  );
  return seen;
}

test('only blocks with a difference are visited', async () => {
  const built = await buildImage(small);
  expect(await visits(built, built.counted)).toEqual([]);
  expect(await visits(built, [...built.counted, 64])).toEqual([{ leaked: [], uncounted: [64] }]);
  expect(await visits(built, [...built.counted].slice(1))).toEqual([{ leaked: [0], uncounted: [] }]);
});

test('nothing is counted if there is no refcount block, for the first block and beyond the table too', async () => {
  const withoutFirst = await buildImage({ ...small, missingBlocks: [0] });
  expect(await visits(withoutFirst, [1, 2])).toEqual([{ leaked: [], uncounted: [1, 2] }]);
  const large = await buildImage({ ...small, clusterCount: 64 * 64 + 10 });
  expect(large.refcounts.blockOffsets).toHaveLength(64);
  const pointedAt = [...large.counted, 64 * 64 + 9];
  expect(await visits(large, pointedAt)).toEqual([{ leaked: [], uncounted: [64 * 64 + 9] }]);
});

test('a refcount block beyond the end of the file is refused before the comparison', async () => {
  const { image } = await buildImage(small);
  const end = 200 * 512;
  const compared = compareRefcounts(
    censusWith({ image, refcounts: { blockOffsets: Float64Array.of(3 * 512, 0, end) } }),
    referencing(image, []),
    () => {
      throw new Error('compared');
    },
  );
  await expect(compared).rejects.toThrow(
    'built.qcow2: refcount block 2 at 0x19000 (512 bytes) reaches beyond the end of the file',
  );
});
