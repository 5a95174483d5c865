/** The random history of a qcow2 image: guest writes, snapshots, new sizes, bitmaps and crashes. */
import { dirname } from 'node:path';
import { type Qcow2Layer, writeTo } from './layer.ts';
import { addBitmap, crash } from './layer-bitmaps.ts';
import { keyFor } from './qemu.ts';
import type { Random } from './random.ts';
import { canCompress, canDiscard, canHoldBitmaps, canTakeSnapshots } from './random-options.ts';
import { randomWrites, type WriteKind, writeCommands } from './random-writes.ts';
import type { Story } from './story.ts';

/** One to four rounds of guest writes, with something done to the image from outside between them. */
export async function liveThrough(random: Random, story: Story, layer: Qcow2Layer): Promise<void> {
  if (canCompress(layer.options) && layer.options.preallocation === 'off' && random.chance(0.3)) {
    await writeTo(story, layer, firstCompressedWrites(random, layer));
  }
  const rounds = random.between(1, 4);
  for (let round = 1; round <= rounds; round++) {
    const disk = { virtualSize: layer.virtualSize, clusterSize: layer.options.clusterSize };
    const writes = randomWrites(random, disk, possibleWrites(layer), random.between(0, 10));
    await writeTo(story, layer, writeCommands(writes));
    if (random.chance(0.6)) await manage(random, story, layer);
  }
  // Past the end of the disk, where the state of a virtual machine is kept: nothing of this is the guest's.
  if (layer.options.dataFile === 'none' && random.chance(0.08)) {
    await writeTo(story, layer, [`write -q -b -P 7 0 ${random.between(1, 300) * 512}`]);
  }
  if (layer.bitmaps.length > 0 && !layer.options.lazyRefcounts && random.chance(0.08)) {
    await crash(story, layer);
  }
}

/** Compression takes whole clusters which nothing was written to: as `qemu-img convert -c` leaves them. */
function firstCompressedWrites(random: Random, { virtualSize, options }: Qcow2Layer): string[] {
  const commands: string[] = [];
  for (let start = 0; start < virtualSize && commands.length < 12; start += options.clusterSize) {
    const length = Math.min(options.clusterSize, virtualSize - start);
    if (random.chance(0.3)) commands.push(`write -q -c -P ${random.between(1, 255)} ${start} ${length}`);
  }
  return commands;
}

function possibleWrites({ options, backing }: Qcow2Layer): WriteKind[] {
  const kinds: WriteKind[] = ['data', 'data', 'data', 'zero', 'unmap', 'discard'];
  const canRepeat = canCompress(options) && canDiscard(options, backing !== undefined);
  return canRepeat ? [...kinds, 'compressed', 'compressed'] : kinds;
}

async function manage(random: Random, story: Story, layer: Qcow2Layer): Promise<void> {
  const actions = [resize];
  if (canTakeSnapshots(layer.options)) actions.push(takeSnapshot);
  if (canHoldBitmaps(layer.options)) actions.push(addRandomBitmap, addRandomBitmap);
  await random.pick(actions)(random, story, layer);
}

async function takeSnapshot(_random: Random, story: Story, layer: Qcow2Layer): Promise<void> {
  const tag = `snapshot-${layer.snapshots.length + 1}`;
  await story.run(dirname(layer.path), 'qemu-img', [
    'snapshot',
    ...keyFor([layer.name]),
    '-c',
    tag,
    layer.name,
  ]);
  layer.snapshots.push(tag);
}

async function addRandomBitmap(random: Random, story: Story, layer: Qcow2Layer): Promise<void> {
  const granularity = 2 ** random.between(9, random.chance(0.8) ? 17 : 31);
  await addBitmap(story, layer, {
    name: `checkpoint-${layer.bitmaps.length + 1}`,
    granularity,
    disabled: random.chance(0.2),
  });
}

/** Longer or shorter by up to some clusters, not to a whole number of them. */
async function resize(random: Random, story: Story, layer: Qcow2Layer): Promise<void> {
  const { options, snapshots, virtualSize } = layer;
  if (options.compat === '0.10' && snapshots.length > 0) return;
  const step = random.between(1, Math.max(1, (4 * options.clusterSize) / 512)) * 512;
  const canShrink = step < virtualSize;
  const canGrow = canDiscard(options, layer.backing !== undefined);
  if (!canShrink && !canGrow) return;
  const shrink = canShrink && (!canGrow || random.chance(0.4));
  // QEMU cannot zero a part of a compressed cluster by subclusters, which growing over a backing image would need.
  if (!shrink && options.extendedL2 && canCompress(options)) {
    await writeTo(story, layer, [`write -q -P 5 ${virtualSize - 512} 512`]);
  }
  const size = shrink ? virtualSize - step : virtualSize + step;
  const args = [...(shrink ? ['--shrink'] : []), layer.name, String(size)];
  await story.run(dirname(layer.path), 'qemu-img', ['resize', '-q', ...keyFor(args), ...args]);
  layer.virtualSize = size;
}
