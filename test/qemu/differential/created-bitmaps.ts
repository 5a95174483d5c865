/** Creates bitmaps from a source, and compares them with the expected marks. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { bitmapToolJson } from '../../support/bitmap-tool.ts';
import { clipped, type Extent, isSubset, roundedOut, totalLength, union } from '../../support/extents.ts';
import { runProgram } from '../../support/external-program.ts';
import { digest } from '../../support/file-state.ts';
import { writeTo } from '../../support/layer.ts';
import { addBitmap } from '../../support/layer-bitmaps.ts';
import { qemuBitmaps, qemuImg, qemuIo } from '../../support/qemu.ts';
import type { DirtyExtent } from '../../support/qemu-bitmap.ts';
import { type Random, seededRandom } from '../../support/random.ts';
import { buildRandomChain, type RandomChain } from '../../support/random-chain.ts';
import { randomWrites, writeCommands } from '../../support/random-writes.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { expectClean, expectDirty } from './expectations.ts';
import { dirtyRanges } from './image-state.ts';

export interface Created {
  source: string;
  dryRun: boolean;
  bitmaps: { name: string; action: string; granularity: number; dirtyBytes: number }[];
}

/** A random image of one or two layers, in which two bitmaps of different granularities have recorded something. */
export async function inRandomImage(
  seed: number,
  body: (random: Random, chain: RandomChain) => Promise<void>,
): Promise<void> {
  const random = seededRandom(seed);
  const chain = await buildRandomChain(random, await scratchFolder(), { topCompat: '1.1', depths: [1, 2] });
  await chain.story.toldOnFailure(async () => {
    for (const name of ['one', 'two']) {
      await addBitmap(chain.story, chain.top, { name, granularity: 512 << random.below(10) });
      await writeSome(random, chain);
    }
    await body(random, chain);
  });
}

async function writeSome(random: Random, { top, story }: RandomChain): Promise<void> {
  const disk = { virtualSize: top.virtualSize, clusterSize: top.options.clusterSize };
  await writeTo(story, top, writeCommands(randomWrites(random, disk, ['data', 'data', 'zero', 'unmap'], 4)));
}

/** Creates, merges into and replaces a bitmap from a source of which QEMU says that it is `expected`. */
export async function expectSource(
  random: Random,
  { top, story }: RandomChain,
  source: readonly string[],
  expected: readonly Extent[],
): Promise<void> {
  const granularity = () => 512 * 2 ** random.below(random.chance(0.8) ? 12 : 23);
  const rounded = (bytes: number) => roundedOut(expected, bytes, top.virtualSize);
  const create = (...options: string[]) => {
    story.tell('.', ['bitmap-tool', 'create-from', ...source, ...options, top.path]);
    return bitmapToolJson<Created>('create-from', ...source, ...options, top.path);
  };

  const first = granularity();
  const options = ['--name', 'made', '--granularity', `${first}`];
  const before = await digest(top.path);
  const dry = await create(...options, '--dry-run');
  expect(await digest(top.path)).toBe(before);
  const made = await create(...options);
  expect(made).toMatchObject({
    source: source[0]!.slice(2),
    dryRun: false,
    bitmaps: [
      {
        name: 'made',
        action: 'created',
        granularity: first,
        enabled: true,
        dirtyBytes: totalLength(rounded(first)),
      },
    ],
  });
  expect({ ...dry, dryRun: false, plan: null }).toEqual({ ...made, plan: null });
  await expectDirty(top, 'made', rounded(first));
  expect(isSubset(clipped(expected, top.virtualSize), await dirtyRanges(top, 'made'))).toBe(true);

  // Two at once: "one" exists with other marks, and the other one is new.
  const earlier = await dirtyRanges(top, 'one');
  const own = (await qemuBitmaps(top.name)).find(({ name }) => name === 'one')!.granularity;
  await create('--name', 'one', '--name', 'beside', '--if-exists', 'merge', '-g', `${own}`);
  await expectDirty(top, 'one', union(earlier, rounded(own)));
  await expectDirty(top, 'beside', rounded(own));

  const second = granularity();
  const replaced = await create('--name', 'made', '--if-exists', 'replace', '-g', `${second}`);
  expect(replaced.bitmaps).toMatchObject([{ action: 'replaced', granularity: second }]);
  await expectDirty(top, 'made', rounded(second));
  expect((await qemuBitmaps(top.name)).filter(({ name }) => name === 'made')).toEqual([
    { name: 'made', granularity: second, flags: ['auto'] },
  ]);
  await expectClean(top);
}

export async function plainImage(size = '4M'): Promise<string> {
  const image = join(await scratchFolder(), 'plain.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, size);
  return image;
}

/** Another image with bitmaps c1 and c2, and what they mark together. */
export async function imageWithBitmap(
  random: Random,
  virtualSize: number,
): Promise<{ path: string; dirty: Extent[] }> {
  const path = await plainImage(`${virtualSize}`);
  for (const name of ['c1', 'c2']) {
    await qemuImg('bitmap', '--add', '-g', `${512 << random.below(10)}`, path, name);
    const disk = { virtualSize, clusterSize: 65536 };
    await qemuIo(path, ...writeCommands(randomWrites(random, disk, ['data', 'unmap'], 3)));
  }
  const dirty = union(await nbdDirty(path, 'c1'), await nbdDirty(path, 'c2'));
  return { path, dirty };
}

/** What nbdinfo prints of an image that qemu-nbd serves. */
export async function nbdMap(image: string, map: string, ...options: string[]): Promise<string> {
  const server = ['[', 'qemu-nbd', '-r', '-f', 'qcow2', ...options, image, ']'];
  return await runProgram('nbdinfo', ['--json', `--map=${map}`, '--', ...server]);
}

export async function nbdDirty(image: string, bitmap: string): Promise<Extent[]> {
  const map = await nbdMap(image, `qemu:dirty-bitmap:${bitmap}`, '-B', bitmap);
  return extentsOf(JSON.parse(map), ({ type }) => type === 1);
}

export function extentsOf(map: readonly DirtyExtent[], isMarked: (extent: DirtyExtent) => boolean): Extent[] {
  return map.filter(isMarked).map(({ offset, length }) => ({ start: offset, length }));
}
