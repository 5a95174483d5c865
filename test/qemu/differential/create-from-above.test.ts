/** `create-from --allocated --above` marks what the layers above a base hold. */
import { describe, expect, test } from 'vitest';
import { bitmapToolJson } from '../../support/bitmap-tool.ts';
import { clipped, type Extent, isSubset, roundedOut, union } from '../../support/extents.ts';
import type { Layer, Qcow2Layer } from '../../support/layer.ts';
import { allocationAbove, ownAllocation } from '../../support/map-answers.ts';
import { qemuMap } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain } from '../../support/random-chain.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { expectClean, expectDirty } from './expectations.ts';

describe('create-from --allocated --above', () => {
  for (const { seed, again } of randomCases(15)) {
    test(`unites the layers above the base (${again})`, async () => {
      const random = seededRandom(seed);
      const wishes = { topCompat: '1.1', depths: [2, 3, 3, 4, 4] } as const;
      const { top, layers, story } = await buildRandomChain(random, await scratchFolder(), wishes);
      const base = random.between(1, layers.length - 1);
      const granularity = 512 << random.below(12);
      await story.toldOnFailure(async () => {
        const held = await heldAbove(top, layers, base);
        const options = ['--above', layers[base]!.path, '-g', String(granularity), '--name', 'above'];
        await bitmapToolJson('create-from', '--allocated', ...options, top.path);

        await expectDirty(top, 'above', roundedOut(held, granularity, top.virtualSize));
        await expectClean(top);
      });
    });
  }
});

/** Maps each layer alone, because a short layer hides what is below its end from the guest. */
async function heldAbove(top: Qcow2Layer, layers: readonly Layer[], base: number): Promise<Extent[]> {
  const maps = await Promise.all(layers.slice(0, base).map(({ name }) => qemuMap(name)));
  const held = clipped(union(...maps.map(ownAllocation)), top.virtualSize);
  expect(isSubset(allocationAbove(await qemuMap(top.name), base), held)).toBe(true);
  // What the base has past the end of a shorter layer reads as zeros: a change, though no layer holds it.
  const start = Math.min(...layers.slice(1, base).map(({ virtualSize }) => virtualSize));
  const end = Math.min(layers[base]!.virtualSize, top.virtualSize);
  return start < end ? union(held, [{ start, length: end - start }]) : held;
}
