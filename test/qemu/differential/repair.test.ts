/**
 * `repair` on random chains with random histories. The bitmaps then mark all changes since each checkpoint, and above its
 * origin exactly what the image holds. Nothing else changes.
 */
import { describe, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { difference, type Extent, roundedOut, union } from '../../support/extents.ts';
import { differingExtents, qemuGuestDisk } from '../../support/guest-disk.ts';
import type { Qcow2Layer } from '../../support/layer.ts';
import { ownAllocation } from '../../support/map-answers.ts';
import { qemuBitmaps, qemuMap } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { liveWithCheckpoints, type PastCheckpoint } from '../../support/random-checkpoints.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { Story } from '../../support/story.ts';
import { expectClean } from './expectations.ts';
import { dirtyRanges } from './image-state.ts';

describe('repair', () => {
  for (const { seed, again } of randomCases(12)) {
    test(`loses no change and marks only what is necessary (${again})`, async () => {
      const random = seededRandom(seed);
      const story = new Story();
      await story.toldOnFailure(async () => {
        const { layers, checkpoints } = await liveWithCheckpoints(random, story, await scratchFolder());
        const top = layers[0]!;
        const before = await qemuGuestDisk(top.name);
        const marks = await marksOf(layers);
        const names = checkpoints.flatMap(({ name }) => ['--name', name]);
        const args = ['--rebuild-origin', '--enable-disabled', ...names, top.path];

        const repaired = await bitmapTool('repair', ...args);
        expect(repaired).toMatchObject({ exitCode: 0, stderr: '' });
        const checked = await bitmapTool('check', top.path);
        expect(checked).toMatchObject({ exitCode: 0, stderr: '' });

        expect((await qemuGuestDisk(top.name)).equals(before)).toBe(true);
        for (const layer of layers) await expectClean(layer);
        for (const checkpoint of checkpoints) await expectComplete(layers, checkpoint, before, marks);
        const again = await bitmapTool('repair', ...args);
        expect(again).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('nothing to repair') });
      });
    });
  }
});

/** What the bitmaps mark by image and name; undefined where they are in use, and QEMU does not say. */
type Marks = ReadonlyMap<Qcow2Layer, ReadonlyMap<string, Extent[] | undefined>>;

async function marksOf(layers: readonly Qcow2Layer[]): Promise<Marks> {
  const marks = new Map<Qcow2Layer, ReadonlyMap<string, Extent[] | undefined>>();
  for (const layer of layers) {
    const own = new Map<string, Extent[] | undefined>();
    for (const { name, flags } of await qemuBitmaps(layer.name)) {
      own.set(name, flags.includes('in-use') ? undefined : await dirtyRanges(layer, name));
    }
    marks.set(layer, own);
  }
  return marks;
}

async function expectComplete(
  layers: readonly Qcow2Layer[],
  { name, disk, origin }: PastCheckpoint,
  now: Buffer,
  before: Marks,
): Promise<void> {
  const holders = layers.slice(0, layers.indexOf(origin) + 1);
  const marked: Extent[][] = [];
  for (const layer of holders) {
    const bitmap = (await qemuBitmaps(layer.name)).find((each) => each.name === name);
    expect(bitmap, `${name} in ${layer.path}`).toMatchObject({ flags: ['auto'] });
    const dirty = await dirtyRanges(layer, name);
    marked.push(dirty);
    const own = before.get(layer)!;
    if (layer === origin || (own.has(name) && own.get(name) === undefined)) continue;
    const held = ownAllocation(await qemuMap(layer.name));
    // QEMU also marks what a guest discarded and no image held.
    const most = union(roundedOut(held, bitmap!.granularity, layer.virtualSize), own.get(name) ?? []);
    expect(difference(dirty, most), `${name} marks more than ${layer.path} holds`).toEqual([]);
  }
  const changed = differingExtents(disk, now, 512);
  expect(difference(changed, union(...marked)), `changes since ${name} that nothing marks`).toEqual([]);
}
