/** A random chain with a random history of checkpoints and of damage outside libvirt. */
import { dirname } from 'node:path';
import { qemuGuestDisk } from './guest-disk.ts';
import { type Qcow2Layer, writeTo } from './layer.ts';
import { addBitmap, crash } from './layer-bitmaps.ts';
import type { Random } from './random.ts';
import { createQcow2Layer } from './random-layer.ts';
import { randomQcow2Options } from './random-options.ts';
import { randomWrites, type WriteKind, writeCommands } from './random-writes.ts';
import { AUTOCLEAR_LOWEST_BYTE, setByte } from './set-byte.ts';
import type { Story } from './story.ts';

export interface PastCheckpoint {
  name: string;
  granularity: number;
  /** What the guest saw when it was made. */
  disk: Buffer;
  /** The image that was active then. */
  origin: Qcow2Layer;
}

export interface CheckpointHistory {
  /** Top first, all of one size. */
  layers: Qcow2Layer[];
  checkpoints: PastCheckpoint[];
}

const KINDS: WriteKind[] = ['data', 'data', 'data', 'zero', 'unmap', 'discard'];

export async function liveWithCheckpoints(
  random: Random,
  story: Story,
  folder: string,
): Promise<CheckpointHistory> {
  const history: CheckpointHistory = { layers: [], checkpoints: [] };
  const context = { random, story, folder, history, virtualSize: random.between(1, 6000) * 512 };
  await addLayer(context);
  await write(context);
  await makeCheckpoint(context);
  const rounds = random.between(3, 7);
  for (let round = 0; round < rounds; round++) {
    await write(context);
    await random.pick([makeCheckpoint, putOverlay, putOverlay, crashTop, disableOne])(context);
  }
  await write(context);
  for (const layer of history.layers) if (random.chance(0.3)) await breakAtRest(context, layer);
  return history;
}

interface Context {
  random: Random;
  story: Story;
  folder: string;
  history: CheckpointHistory;
  virtualSize: number;
}

async function addLayer({ random, story, folder, history, virtualSize }: Context): Promise<Qcow2Layer> {
  const { layers } = history;
  const backing = layers[0];
  const options = {
    ...randomQcow2Options(random, { compat: '1.1', hasBacking: backing !== undefined }),
    clusterSize: 4096 << random.below(5),
    extendedL2: false,
    lazyRefcounts: false,
    encryption: 'none',
    dataFile: 'none',
    preallocation: 'off',
  } as const;
  const fileName = `layer${layers.length}.qcow2`;
  const layer = await createQcow2Layer(random, story, { folder, fileName, options, virtualSize, backing });
  layers.unshift(layer);
  return layer;
}

async function write({ random, story, history, virtualSize }: Context): Promise<void> {
  const top = history.layers[0]!;
  const disk = { virtualSize, clusterSize: top.options.clusterSize };
  await writeTo(story, top, writeCommands(randomWrites(random, disk, KINDS, random.between(1, 5))));
}

async function makeCheckpoint({ random, story, history }: Context): Promise<void> {
  const { layers, checkpoints } = history;
  const origin = layers[0]!;
  const checkpoint = { name: `c${checkpoints.length + 1}`, granularity: 512 << random.below(9) };
  await addBitmap(story, origin, checkpoint);
  checkpoints.push({ ...checkpoint, origin, disk: await qemuGuestDisk(origin.name) });
}

/** As libvirt does it, or as if there were no bitmaps, or with bitmaps that come after the first writes. */
async function putOverlay(context: Context): Promise<void> {
  const { random, story, history } = context;
  const names = history.layers[0]!.bitmaps;
  const layer = await addLayer(context);
  const way = random.pick(['libvirt', 'bare', 'bare', 'naive']);
  if (way === 'naive') await write(context);
  if (way === 'bare') return;
  for (const { name, granularity } of history.checkpoints) {
    if (names.includes(name)) await addBitmap(story, layer, { name, granularity });
  }
}

async function crashTop({ story, history }: Context): Promise<void> {
  await crash(story, history.layers[0]!);
}

async function disableOne({ random, story, history }: Context): Promise<void> {
  const { path, bitmaps } = history.layers[0]!;
  // QEMU changes nothing in a bitmap that is in use: then there is nothing to disable.
  if (bitmaps.length === 0) return;
  await story
    .run(dirname(path), 'qemu-img', ['bitmap', '--disable', path, random.pick(bitmaps)])
    .catch(() => {});
}

async function breakAtRest({ random, story, history }: Context, layer: Qcow2Layer): Promise<void> {
  const { path, bitmaps } = layer;
  if (random.chance(0.5)) {
    story.tell(dirname(path), ['clear autoclear bit 0 of', path]);
    await setByte(path, AUTOCLEAR_LOWEST_BYTE, 0);
    return;
  }
  const origins = new Set(
    history.checkpoints.filter(({ origin }) => origin === layer).map(({ name }) => name),
  );
  const removable = bitmaps.filter((name) => !origins.has(name));
  if (removable.length === 0) return;
  await story.run(dirname(path), 'qemu-img', ['bitmap', '--remove', path, random.pick(removable)]);
}
