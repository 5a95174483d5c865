/** `map` agrees with `qemu-img map` about random chains. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapToolJson } from '../../support/bitmap-tool.ts';
import { totalLength } from '../../support/extents.ts';
import type { Layer, Qcow2Layer } from '../../support/layer.ts';
import { coverageFaults, mapDisagreements, ownAllocation } from '../../support/map-answers.ts';
import { type MapExtent, qemuCheck, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain } from '../../support/random-chain.ts';
import { scratchFolder } from '../../support/scratch.ts';
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

/** Where QEMU takes an image for preallocated, it says which data clusters are holes of the file. */
describe('map of a preallocated image', () => {
  const made = { format: 'qcow2', encrypted: false, options: { dataFile: 'none' } } as const;
  test.each([
    ...['512', '4k', '64k', '2M'].map((clusterSize) => ({ preallocation: 'metadata', clusterSize })),
    ...['off', 'falloc', 'full'].flatMap((preallocation) =>
      ['4k', '64k'].map((clusterSize) => ({ preallocation, clusterSize })),
    ),
  ])(
    'with $preallocation and clusters of $clusterSize has the extents of qemu-img map',
    async ({ preallocation, clusterSize }) => {
      const folder = await scratchFolder();
      const [base, top] = [join(folder, 'base.qcow2'), join(folder, 'top.qcow2')];
      // Preallocated subclusters are not marked as data.
      const extended = clusterSize === '64k' ? ',extended_l2=on' : '';
      const hasHoles = preallocation === 'metadata' && extended === '';
      const options = `preallocation=${preallocation},cluster_size=${clusterSize}${extended}`;
      await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, base, '9M');
      await qemuIo(base, 'write -P 3 1M 100k', 'write -z 3M 1M', 'write -P 3 7000k 3k', 'discard 5M 1M');
      await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top, '10M');
      await qemuIo(top, 'write -P 4 1100k 4k');
      for (const image of [base, top]) {
        const said = await qemuMap(image);
        const ours = await bitmapToolJson<MapExtent[]>('map', image);
        expect(coverageFaults(ours, said.at(-1)!.start + said.at(-1)!.length)).toEqual([]);
        expect(mapDisagreements(ours, said, [made, made])).toEqual([]);
        expect(said.some(({ data, zero }) => data && zero)).toBe(hasHoles);
      }
    },
  );
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
