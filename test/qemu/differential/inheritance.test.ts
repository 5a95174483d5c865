/** Without a name, `create-from` gives an overlay the valid bitmaps of the nearest backing image that has any. */
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { roundedOut } from '../../support/extents.ts';
import type { Layer, Qcow2Layer } from '../../support/layer.ts';
import { addBitmap, crash } from '../../support/layer-bitmaps.ts';
import { ownAllocation } from '../../support/map-answers.ts';
import { type BitmapInfo, qemuBitmaps, qemuMap } from '../../support/qemu.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain } from '../../support/random-chain.ts';
import { scratchFolder } from '../../support/scratch.ts';
import type { Story } from '../../support/story.ts';
import { defaultGranularity, expectClean, expectDirty } from './expectations.ts';
import { imageState, sortedByName } from './image-state.ts';

describe('create-from --allocated without a name', () => {
  for (const { seed, again } of randomCases(15)) {
    test(`inherits the valid bitmaps that the image lacks (${again})`, async () => {
      const random = seededRandom(seed);
      const wishes = { compat: '1.1', depths: [2, 3, 4], mayEndRaw: false } as const;
      const { top, layers, story } = await buildRandomChain(random, await scratchFolder(), wishes);
      await story.toldOnFailure(async () => {
        const heir = await inheritance(random, story, top, layers);
        const before = await imageState(top);
        const { exitCode, json, stderr } = await bitmapTool('create-from', '--allocated', top.path, '--json');
        const { kept } = json as { kept: { missingBytes: number | null }[] };
        // An existing bitmap that lacks marks is not changed, and causes a warning.
        const isWhole = kept.every(({ missingBytes }) => missingBytes === 0);
        expect(exitCode, stderr).toBe(isWhole ? 0 : 3);

        const after = await imageState(top);
        const isNew = ({ name }: BitmapInfo) => heir.some((bitmap) => bitmap.name === name);
        const created = after.bitmaps.filter(isNew).map(({ dirty: _, ...info }) => info);
        expect(created).toEqual(heir);
        expect({ ...after, bitmaps: after.bitmaps.filter((bitmap) => !isNew(bitmap)) }).toEqual(before);

        const allocated = ownAllocation(await qemuMap(top.name));
        for (const { name, granularity } of heir) {
          await expectDirty(top, name, roundedOut(allocated, granularity, top.virtualSize));
        }
        await expectClean(top);
      });
    });
  }

  test('makes one bitmap with the name "allocated" if no backing image has a bitmap', async () => {
    const random = seededRandom(11);
    const wishes = { compat: '1.1', depths: [1] } as const;
    const { top, story } = await buildRandomChain(random, await scratchFolder(), wishes);
    await story.toldOnFailure(async () => {
      const before = await qemuBitmaps(top.name);
      await bitmapToolJson('create-from', '--allocated', top.path);
      const granularity = defaultGranularity(top);
      const added = { name: 'allocated', granularity, flags: ['auto'] };
      expect(sortedByName(await qemuBitmaps(top.name))).toEqual(sortedByName([...before, added]));
      const allocated = ownAllocation(await qemuMap(top.name));
      await expectDirty(top, 'allocated', roundedOut(allocated, granularity, top.virtualSize));
    });
  });
});

/** Brings bitmaps of every kind into the nearest image that shall be inherited from, and says which go to the top. */
async function inheritance(
  random: Random,
  story: Story,
  top: Qcow2Layer,
  layers: readonly Layer[],
): Promise<BitmapInfo[]> {
  const below = layers.slice(1).filter((layer) => layer.format === 'qcow2');
  const holder = below.find(({ bitmaps }) => bitmaps.length > 0) ?? random.pick(below);
  const granularity = () => 512 << random.below(12);
  if (random.chance(0.5) && !holder.options.lazyRefcounts) {
    await addBitmap(story, holder, { name: 'broken', granularity: granularity() });
    await crash(story, holder);
  }
  await addBitmap(story, holder, { name: 'valid 1', granularity: granularity() });
  await addBitmap(story, holder, { name: 'valid 2', granularity: granularity() });
  await addBitmap(story, holder, { name: 'disabled', granularity: granularity(), disabled: true });
  await addBitmap(story, holder, { name: 'libvirt-tmp-backup', granularity: granularity() });
  await addBitmap(story, holder, { name: 'shared', granularity: granularity() });
  await addBitmap(story, top, { name: 'shared', granularity: granularity() });

  const own = new Set((await qemuBitmaps(top.name)).map(({ name }) => name));
  const offered = await qemuBitmaps(holder.name);
  return sortedByName(
    offered.filter(
      ({ name, flags }) =>
        flags.includes('auto') &&
        !flags.includes('in-use') &&
        !name.startsWith('libvirt-tmp-') &&
        !own.has(name),
    ),
  );
}
