/** `--if-exists` decides what happens to an existing bitmap. */
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { type Extent, roundedOut, union } from '../../support/extents.ts';
import { type Qcow2Layer, writeTo } from '../../support/layer.ts';
import { addBitmap } from '../../support/layer-bitmaps.ts';
import { ownAllocation } from '../../support/map-answers.ts';
import { qemuBitmaps, qemuMap } from '../../support/qemu.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain, type RandomChain } from '../../support/random-chain.ts';
import { randomWrites, writeCommands } from '../../support/random-writes.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { expectClean, expectDirty } from './expectations.ts';
import { dirtyRanges, fileDigests } from './image-state.ts';

const name = 'existing';
const granularities = { existing: 8192, asked: 32768 };

describe('create-from --allocated with the name of an existing bitmap', () => {
  for (const { seed, again } of randomCases(5)) {
    test(`is refused and changes no byte (${again})`, async () => {
      await inChainWithBitmap(seed, async ({ top, layers }) => {
        const files = await fileDigests(layers);
        const withDefault = await bitmapTool('create-from', '--allocated', '-n', name, top.path, '--json');
        const asked = ['--if-exists', 'fail'];
        const withOption = await bitmapTool(
          'create-from',
          '--allocated',
          ...asked,
          '-n',
          name,
          top.path,
          '--json',
        );
        expect([withDefault.exitCode, withOption.exitCode], withDefault.stderr).toEqual([4, 4]);
        expect(withDefault.error?.message).toContain(name);
        expect(await fileDigests(layers)).toEqual(files);
      });
    });

    test(`merges into it (${again})`, async () => {
      await inChainWithBitmap(seed, async ({ top }, earlier) => {
        const allocated = await allocation(top, granularities.existing);
        await bitmapToolJson('create-from', '--allocated', '--if-exists', 'merge', '-n', name, top.path);
        await expectDirty(top, name, union(earlier, allocated));
        await expectOneWith(top, granularities.existing);
      });
    });

    test(`replaces it (${again})`, async () => {
      await inChainWithBitmap(seed, async ({ top }) => {
        const options = ['--if-exists', 'replace', '-g', String(granularities.asked)];
        await bitmapToolJson('create-from', '--allocated', ...options, '-n', name, top.path);
        await expectDirty(top, name, await allocation(top, granularities.asked));
        await expectOneWith(top, granularities.asked);
      });
    });
  }
});

/** The top image has the bitmap and some dirty bytes in it, not all of them allocated any more. */
async function inChainWithBitmap(
  seed: number,
  body: (chain: RandomChain, dirty: Extent[]) => Promise<void>,
): Promise<void> {
  const random = seededRandom(seed);
  const chain = await buildRandomChain(random, await scratchFolder(), { topCompat: '1.1' });
  await chain.story.toldOnFailure(async () => {
    await addBitmap(chain.story, chain.top, { name, granularity: granularities.existing });
    await writeTo(chain.story, chain.top, laterWrites(random, chain.top));
    await body(chain, await dirtyRanges(chain.top, name));
  });
}

function laterWrites(random: Random, { virtualSize, options }: Qcow2Layer): string[] {
  const disk = { virtualSize, clusterSize: options.clusterSize };
  return writeCommands(randomWrites(random, disk, ['data', 'zero', 'discard'], random.between(1, 6)));
}

async function allocation(layer: Qcow2Layer, granularity: number): Promise<Extent[]> {
  return roundedOut(ownAllocation(await qemuMap(layer.name)), granularity, layer.virtualSize);
}

async function expectOneWith(layer: Qcow2Layer, granularity: number): Promise<void> {
  const named = (await qemuBitmaps(layer.name)).filter((bitmap) => bitmap.name === name);
  expect(named).toEqual([{ name, granularity, flags: ['auto'] }]);
  await expectClean(layer);
}
