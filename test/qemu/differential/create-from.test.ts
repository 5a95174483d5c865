/** `create-from --allocated` in random chains: QEMU reads the bitmap, keeps it up to date, and misses nothing. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapToolJson } from '../../support/bitmap-tool.ts';
import { type Extent, roundedOut, union } from '../../support/extents.ts';
import { type Qcow2Layer, writeTo } from '../../support/layer.ts';
import { ownAllocation } from '../../support/map-answers.ts';
import { qemuImg, qemuIo, qemuMap, rawImageName } from '../../support/qemu.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain, type RandomChain } from '../../support/random-chain.ts';
import { canCompress } from '../../support/random-options.ts';
import {
  type GuestWrite,
  plainCommands,
  randomWrites,
  type WriteKind,
  writeCommands,
} from '../../support/random-writes.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { defaultGranularity, expectClean, expectContent, expectDirty } from './expectations.ts';
import { digestsBeside, fileDigests, type ImageState, imageState } from './image-state.ts';

const name = 'new checkpoint';

describe('create-from --allocated in a random chain', () => {
  for (const { seed, again } of randomCases(40)) {
    test(`makes a bitmap in which QEMU continues to record (${again})`, async () => {
      const random = seededRandom(seed);
      const folder = await scratchFolder();
      const chain = await buildRandomChain(random, folder, { topCompat: '1.1' });
      await chain.story.toldOnFailure(() => liveOfABitmap(random, folder, chain));
    });
  }
});

interface NewBitmap {
  granularity: number;
  isEnabled: boolean;
  arguments: string[];
}

async function liveOfABitmap(random: Random, folder: string, chain: RandomChain): Promise<void> {
  const { top } = chain;
  const content = join(folder, 'content.raw');
  await qemuImg('convert', '-O', 'raw', top.name, content);
  const before = await imageState(top);
  const bitmap = randomBitmap(random, top);
  chain.story.tell(folder, ['bitmap-tool', ...bitmap.arguments, top.path]);

  await expectDryRunWritesNothing(chain, bitmap);
  const allocated = roundedOut(ownAllocation(await qemuMap(top.name)), bitmap.granularity, top.virtualSize);
  await expectCreated(chain, bitmap, before, allocated);
  await expectContent(top, content);

  const writes = await writeMore(random, chain, content);
  await expectTracked(top, bitmap, allocated, writes);
  await expectContent(top, content);

  await expectRemoved(top);
  await expectContent(top, content);
}

function randomBitmap(random: Random, top: Qcow2Layer): NewBitmap {
  const granularity = random.chance(0.2) ? undefined : 2 ** random.between(9, random.chance(0.8) ? 18 : 31);
  const isEnabled = random.chance(0.8);
  return {
    granularity: granularity ?? defaultGranularity(top),
    isEnabled,
    arguments: [
      'create-from',
      '--allocated',
      '--name',
      name,
      ...(granularity === undefined ? [] : ['-g', granularityArgument(random, granularity)]),
      ...(isEnabled ? [] : ['--disabled']),
    ],
  };
}

function granularityArgument(random: Random, granularity: number): string {
  return granularity >= 1024 && random.chance(0.5) ? `${granularity / 1024}k` : String(granularity);
}

async function expectDryRunWritesNothing({ top, layers }: RandomChain, bitmap: NewBitmap): Promise<void> {
  const files = await fileDigests(layers);
  await bitmapToolJson(...bitmap.arguments, '--dry-run', top.path);
  expect(await fileDigests(layers)).toEqual(files);
}

async function expectCreated(
  { top, layers }: RandomChain,
  bitmap: NewBitmap,
  before: ImageState,
  allocated: Extent[],
): Promise<void> {
  const otherFiles = await digestsBeside(top, layers);
  const result = await bitmapToolJson(...bitmap.arguments, top.path);
  expect(result).toMatchObject({ schema: 1 });
  expect(await digestsBeside(top, layers)).toEqual(otherFiles);

  await expectClean(top);
  await expectDirty(top, name, allocated);
  const after = await imageState(top);
  expect(after.bitmaps.find((candidate) => candidate.name === name)).toMatchObject({
    granularity: bitmap.granularity,
    flags: bitmap.isEnabled ? ['auto'] : [],
  });
  expect(withoutNew(after)).toEqual(before);
}

function withoutNew(state: ImageState): ImageState {
  return { ...state, bitmaps: state.bitmaps.filter((bitmap) => bitmap.name !== name) };
}

/** The guest starts again: the same writes to the image and to the raw file that shows what it must contain. */
async function writeMore(
  random: Random,
  { top, story }: RandomChain,
  content: string,
): Promise<GuestWrite[]> {
  const kinds: WriteKind[] = ['data', 'data', 'zero', 'unmap'];
  if (canCompress(top.options)) kinds.push('compressed');
  const disk = { virtualSize: top.virtualSize, clusterSize: top.options.clusterSize };
  const writes = randomWrites(random, disk, kinds, random.between(1, 8));
  await writeTo(story, top, writeCommands(writes));
  await qemuIo(rawImageName(content), ...plainCommands(writes));
  return writes;
}

async function expectTracked(
  top: Qcow2Layer,
  { granularity, isEnabled }: NewBitmap,
  allocated: Extent[],
  writes: readonly Extent[],
): Promise<void> {
  const written = isEnabled ? roundedOut(writes, granularity, top.virtualSize) : [];
  await expectDirty(top, name, union(allocated, written));
  await expectClean(top);
  const { bitmaps } = await imageState(top);
  const flags = isEnabled ? ['auto'] : [];
  expect(bitmaps.find((bitmap) => bitmap.name === name)).toMatchObject({ granularity, flags });
}

async function expectRemoved(top: Qcow2Layer): Promise<void> {
  const before = await imageState(top);
  await bitmapToolJson('remove', top.path, name);
  await expectClean(top);
  expect(await imageState(top)).toEqual(withoutNew(before));
}
