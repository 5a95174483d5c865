/** Free clusters have no count and no reference. Low ones come first, and contiguous ones on request. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Span } from '../../../src/bytes/range.ts';
import { clusterRange } from '../../../src/format/addresses.ts';
import { freeClusters } from '../../../src/plan/free-clusters.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { buildImage, censusWith, referencing } from '../image/built-image.ts';

const clustersOf = (runs: readonly Span[]) =>
  runs.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, index) => start + index));

const anyLayout = fc.record({
  refcountOrder: fc.constantFrom(0, 1, 3, 4, 6),
  clusterCount: fc.integer({ min: 8, max: 300 }),
  counted: fc.array(fc.nat(299), { maxLength: 250, size: 'max' }),
  referenced: fc.array(fc.nat(299), { maxLength: 250, size: 'max' }),
  missingBlocks: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
});

type Request = { kind: 'contiguous' | 'scattered'; count: number };
const anyRequests = fc.array(
  fc.record<Request>({
    kind: fc.constantFrom('contiguous', 'scattered'),
    count: fc.integer({ min: 1, max: 40 }),
  }),
  { minLength: 1, maxLength: 8 },
);

describe('free clusters', () => {
  test('have no count and no reference, are given once, and are the lowest possible', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayout, anyRequests, async (layout, requests) => {
        const { image, refcounts, counted } = await buildImage({ ...layout, clusterBits: 9 });
        const pointedAt = layout.referenced.filter((cluster) => cluster < layout.clusterCount);
        const used = new Set([...counted, ...pointedAt]);
        const free = freeClusters(
          censusWith({ image, refcounts }, pointedAt.slice(0, 60)),
          [pointedAt.slice(60, 90), pointedAt.slice(90)].map((part) => referencing(image, part)),
        );

        for (const { kind, count } of requests) {
          const expected: number[] = [];
          if (kind === 'contiguous') {
            let start = 0;
            for (let end = 0; end < start + count; end++) if (used.has(end)) start = end + 1;
            expected.push(...clustersOf([{ start, end: start + count }]));
          } else {
            for (let cluster = 0; expected.length < count; cluster++)
              if (!used.has(cluster)) expected.push(cluster);
          }
          const runs = kind === 'contiguous' ? [await free.take(count)] : await free.takeScattered(count);
          expectEqual(clustersOf(runs), expected);
          for (const cluster of expected) used.add(cluster);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('are in the least number of pieces', async () => {
    const { image, refcounts } = await buildImage({
      clusterBits: 9,
      refcountOrder: 4,
      clusterCount: 20,
      counted: [8, 9, 12],
    });
    const free = freeClusters(censusWith({ image, refcounts }, []), []);
    expect(await free.takeScattered(9)).toEqual([
      { start: 4, end: 8 },
      { start: 10, end: 12 },
      { start: 13, end: 16 },
    ]);
  });

  test('are one piece across the border of two refcount blocks', async () => {
    const { image, refcounts } = await buildImage({ clusterBits: 9, refcountOrder: 6, clusterCount: 200 });
    const whole = freeClusters(censusWith({ image, refcounts }, []), []);
    expect(await whole.takeScattered(150)).toEqual([{ start: 7, end: 157 }]);
    const parted = freeClusters(censusWith({ image, refcounts }, [20]), []);
    expect(await parted.takeScattered(150)).toEqual([
      { start: 7, end: 20 },
      { start: 21, end: 158 },
    ]);
  });

  test('include no empty pieces if the first or last cluster without a refcount block has a reference', async () => {
    const { image, refcounts } = await buildImage({
      clusterBits: 9,
      refcountOrder: 6,
      clusterCount: 192,
      missingBlocks: [1],
    });
    const free = freeClusters(censusWith({ image, refcounts }, [63, 64, 100, 127, 128]), []);
    expect(await free.takeScattered(152)).toEqual([
      { start: 5, end: 63 },
      { start: 65, end: 100 },
      { start: 101, end: 127 },
      { start: 129, end: 162 },
    ]);
  });

  test('include no empty piece at the end of the file if its block counts clusters beyond it', async () => {
    const { image, refcounts } = await buildImage({
      clusterBits: 9,
      refcountOrder: 6,
      clusterCount: 128,
      missingBlocks: [1],
    });
    refcounts.blockOffsets[2] = refcounts.blockOffsets[0]!;
    const free = freeClusters(censusWith({ image, refcounts }, [127]), []);
    expect(await free.takeScattered(124)).toEqual([
      { start: 4, end: 127 },
      { start: 132, end: 133 },
    ]);
  });

  test('are found without reading a refcount block that counts no free cluster', async () => {
    const { image, refcounts, perBlock } = await buildImage({
      clusterBits: 9,
      refcountOrder: 6,
      clusterCount: 100,
    });
    refcounts.blockOffsets[0] = image.storage.sizeBytes;
    const all = Array.from({ length: perBlock }, (_, cluster) => cluster);
    const free = freeClusters(censusWith({ image, refcounts }, all), []);
    expect(await free.take(1)).toEqual({ start: perBlock, end: perBlock + 1 });
  });

  test('end with the last cluster that the largest refcount table counts', async () => {
    const { image, refcounts, perBlock } = await buildImage({
      clusterBits: 9,
      refcountOrder: 6,
      clusterCount: 8,
    });
    const end = ((8 << 20) / 8) * perBlock;
    // A file that ends in the third block from there, with all of its clusters in use.
    const clusterCount = end - 136;
    const ofImage = { clusterCount, bits: new Uint8Array(clusterCount / 8).fill(0xff) };
    const free = freeClusters({ ...censusWith({ image, refcounts }), ofImage }, []);
    expect(await free.take(135)).toEqual({ start: end - 136, end: end - 1 });
    expect(await free.take(2, clusterRange(0, end))).toBeUndefined();
    await expect(free.take(2)).rejects.toMatchObject({
      code: 'NO_ROOM',
      message: 'built.qcow2: its refcount table can count no more clusters',
      context: { file: 'built.qcow2' },
    });
    expect(await free.takeScattered(1)).toEqual([{ start: end - 1, end }]);
    await expect(free.takeScattered(1)).rejects.toMatchObject({ code: 'NO_ROOM' });
  });

  test('continue past the end of the file and across the border of two refcount blocks', async () => {
    const { image, refcounts, perBlock } = await buildImage({
      clusterBits: 9,
      refcountOrder: 6,
      clusterCount: 60,
    });
    expect(perBlock).toBe(64);
    const free = freeClusters(censusWith({ image, refcounts }, [59]), []);
    expect(await free.take(200)).toEqual({ start: 60, end: 260 });
    expect(await free.take(1)).toEqual({ start: 4, end: 5 });
  });

  test('can be limited to a part of the image', async () => {
    const { image, refcounts } = await buildImage({
      clusterBits: 9,
      refcountOrder: 4,
      clusterCount: 100,
      counted: [20, 22],
    });
    const free = freeClusters(censusWith({ image, refcounts }, []), []);
    expect(await free.take(1, clusterRange(20, 24))).toEqual({ start: 21, end: 22 });
    expect(await free.take(1, clusterRange(20, 24))).toEqual({ start: 23, end: 24 });
    expect(await free.take(1, clusterRange(20, 24))).toBeUndefined();
    expect(await free.take(3, clusterRange(17, 21))).toEqual({ start: 17, end: 20 });
    expect(await free.take(2)).toEqual({ start: 4, end: 6 });
  });
});
