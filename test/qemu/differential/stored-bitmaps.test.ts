/** `list` and `dump` agree with QEMU about the bitmaps that QEMU stored. */
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { roundedOut, totalLength } from '../../support/extents.ts';
import type { Qcow2Layer } from '../../support/layer.ts';
import { writeTo } from '../../support/layer.ts';
import { addBitmap } from '../../support/layer-bitmaps.ts';
import { coverageFaults, ownAllocation } from '../../support/map-answers.ts';
import { type BitmapInfo, qemuBitmaps, qemuMap } from '../../support/qemu.ts';
import { type DirtyExtent, dirtyExtents } from '../../support/qemu-bitmap.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain, type RandomChain } from '../../support/random-chain.ts';
import { randomWrites, writeCommands } from '../../support/random-writes.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { expectSameExtents } from './expectations.ts';
import { sortedByName } from './image-state.ts';

interface ListedImage {
  image: string;
  virtualSize: number;
  bitmaps: (BitmapInfo & { dirtyBytes: number })[];
}

describe('the bitmaps of a random image', () => {
  for (const { seed, again } of randomCases(15)) {
    test(`are listed and dumped as by QEMU (${again})`, async () => {
      const random = seededRandom(seed);
      const chain = await buildRandomChain(random, await scratchFolder(), { topCompat: '1.1' });
      await chain.story.toldOnFailure(async () => {
        await recordSome(random, chain);
        const listed = await bitmapToolJson<ListedImage>('list', chain.top.path);
        expect(listed.virtualSize).toBe(chain.top.virtualSize);
        expect(comparable(listed.bitmaps)).toEqual(comparable(await qemuBitmaps(chain.top.name)));
        for (const bitmap of listed.bitmaps) {
          if (bitmap.flags.includes('in-use')) await expectNoDump(chain.top, bitmap.name);
          else await expectSameDump(chain.top, bitmap);
        }
      });
    });

    test(`are listed for each layer (${again})`, async () => {
      const chain = await buildRandomChain(seededRandom(seed), await scratchFolder());
      await chain.story.toldOnFailure(async () => {
        const { layers } = await bitmapToolJson<{ layers: ListedImage[] }>('list', '--chain', chain.top.path);
        expect(layers.map(({ virtualSize }) => virtualSize)).toEqual(
          chain.layers.map(({ virtualSize }) => virtualSize),
        );
        for (const [depth, layer] of chain.layers.entries()) {
          expect(comparable(layers[depth]!.bitmaps)).toEqual(comparable(await qemuBitmaps(layer.name)));
        }
      });
    });

    test(`can be united with #ALLOCATED (${again})`, async () => {
      const { top, story } = await buildRandomChain(seededRandom(seed), await scratchFolder());
      await story.toldOnFailure(async () => {
        const ours = await bitmapToolJson<DirtyExtent[]>('dump', top.path, '#ALLOCATED');
        const allocated = ownAllocation(await qemuMap(top.name));
        const held = roundedOut(allocated, 512, top.virtualSize);
        expectSameExtents(dirtyOf(ours), held, '#ALLOCATED');
      });
    });
  }
});

/** Ensures that there are bitmaps with marks. */
async function recordSome(random: Random, { top, story }: RandomChain): Promise<void> {
  await addBitmap(story, top, { name: 'fine', granularity: 512 });
  await addBitmap(story, top, { name: 'cöarse', granularity: 2 ** random.between(16, 31) });
  const disk = { virtualSize: top.virtualSize, clusterSize: top.options.clusterSize };
  const writes = randomWrites(random, disk, ['data', 'zero', 'discard'], random.between(0, 12));
  await writeTo(story, top, writeCommands(writes));
}

/** The fields of a bitmap in `qemu-img info`. Its flags are a set. */
function comparable(bitmaps: readonly BitmapInfo[]): BitmapInfo[] {
  return sortedByName(bitmaps).map(({ name, granularity, flags }) => ({
    name,
    granularity,
    flags: [...flags].sort(),
  }));
}

async function expectSameDump(
  layer: Qcow2Layer,
  { name, dirtyBytes }: { name: string; dirtyBytes: number },
): Promise<void> {
  const ours = await bitmapToolJson<DirtyExtent[]>('dump', layer.path, name);
  const asExtents = ours.map(({ offset, length }) => ({ start: offset, length }));
  expect(coverageFaults(asExtents, layer.virtualSize)).toEqual([]);
  expect(ours).toEqual(merged(await dirtyExtents(layer.name, name)));
  expect(dirtyBytes).toBe(totalLength(dirtyOf(ours)));
}

async function expectNoDump(layer: Qcow2Layer, name: string): Promise<void> {
  const { exitCode, stdout, error } = await bitmapTool('dump', layer.path, name, '--json');
  expect({ exitCode, stdout }).toEqual({ exitCode: 4, stdout: '' });
  expect(error?.message).toContain(name);
}

function dirtyOf(extents: readonly DirtyExtent[]) {
  return extents.filter(({ type }) => type === 1).map(({ offset, length }) => ({ start: offset, length }));
}

/** nbdinfo asks in pieces and may print two extents where one would do. */
function merged(extents: readonly DirtyExtent[]): DirtyExtent[] {
  const result: DirtyExtent[] = [];
  for (const extent of extents) {
    const last = result.at(-1);
    if (last?.type === extent.type) last.length += extent.length;
    else result.push({ ...extent });
  }
  return result;
}
