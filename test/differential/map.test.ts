/** `map` says of random chains what `qemu-img map` says. */
import { describe, expect, test } from 'vitest';
import { bitmapToolJson } from '../support/bitmap-tool.ts';
import { totalLength } from '../support/extents.ts';
import type { Layer, Qcow2Layer } from '../support/layer.ts';
import { coverageFaults, mapDisagreements, ownAllocation } from '../support/map-answers.ts';
import { type MapExtent, qemuCheck, qemuMap } from '../support/qemu.ts';
import { randomCases, seededRandom } from '../support/random.ts';
import { buildRandomChain } from '../support/random-chain.ts';
import { scratchFolder } from '../support/scratch.ts';
import { expectSameExtents } from './expectations.ts';

describe('map of a random chain', () => {
  for (const { seed, again } of randomCases(60)) {
    test(`agrees with qemu-img map (${again})`, async () => {
      const { top, layers, story } = await buildRandomChain(seededRandom(seed), await scratchFolder());
      await story.toldOnFailure(async () => {
        await expectSameMap(top, layers);
        await expectSameLayerMap(top);
      });
    });
  }
});

async function expectSameMap(top: Qcow2Layer, layers: readonly Layer[]): Promise<void> {
  const ours = await bitmapToolJson<MapExtent[]>('map', top.path);
  expect(coverageFaults(ours, top.virtualSize)).toEqual([]);
  expect(mapDisagreements(ours, await qemuMap(top.name), layers)).toEqual([]);
}

/** Of one layer alone `qemu-img map` says what it holds, and `qemu-img check` how much of that is compressed. */
async function expectSameLayerMap(layer: Qcow2Layer): Promise<void> {
  const ours = await bitmapToolJson<MapExtent[]>('map', '--layer', layer.path);
  expect(coverageFaults(ours, layer.virtualSize)).toEqual([]);
  expectSameExtents(
    ownAllocation(ours),
    ownAllocation(await qemuMap(layer.name)),
    `allocation of ${layer.path}`,
  );
  const { compressedClusters } = await qemuCheck(layer.name);
  const compressedBytes = totalLength(ours.filter(({ compressed }) => compressed));
  expect(Math.ceil(compressedBytes / layer.options.clusterSize)).toBe(compressedClusters);
}
