/** Builds a random backing chain of one to four layers, each with its own options, size, history and kind of backing name. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layer, Qcow2Layer } from './layer.ts';
import type { Random } from './random.ts';
import { buildRawLayer, createQcow2Layer } from './random-layer.ts';
import { liveThrough } from './random-life.ts';
import { type Qcow2Options, randomQcow2Options } from './random-options.ts';
import { Story } from './story.ts';

export interface RandomChain {
  top: Qcow2Layer;
  /** The top first. */
  layers: Layer[];
  story: Story;
}

export interface ChainWishes {
  /** Of 1 to 4 layers; the top counts as one. */
  depths?: readonly number[];
  /** 1.1 for an image that shall hold bitmaps. */
  topCompat?: Qcow2Options['compat'];
  /** Also for the layers below. */
  compat?: Qcow2Options['compat'];
  /** Whether the lowest layer may be raw. */
  mayEndRaw?: boolean;
}

const mostClusters = 16384;
const largestDisk = 64 << 20;

export async function buildRandomChain(
  random: Random,
  folder: string,
  wishes: ChainWishes = {},
): Promise<RandomChain> {
  const depth = random.pick(wishes.depths ?? [1, 2, 2, 3, 3, 4]);
  const story = new Story();
  let layer: Layer | undefined;
  for (let index = depth - 1; index > 0; index--) {
    layer = await buildLower(random, story, folder, index, layer, wishes);
  }
  const compat = wishes.topCompat ?? wishes.compat;
  const top = await buildQcow2(random, story, folder, 0, layer, compat);
  return { top, layers: layersFrom(top), story };
}

async function buildLower(
  random: Random,
  story: Story,
  parent: string,
  index: number,
  backing: Layer | undefined,
  { mayEndRaw = true, compat }: ChainWishes,
): Promise<Layer> {
  const folder = join(parent, random.pick(['.', 'lower', 'a folder']));
  await mkdir(folder, { recursive: true });
  if (backing === undefined && mayEndRaw && random.chance(0.25)) {
    return await buildRawLayer(
      random,
      story,
      folder,
      `layer${index}.raw`,
      randomSize(random, 65536, backing),
    );
  }
  return await buildQcow2(random, story, folder, index, backing, compat);
}

async function buildQcow2(
  random: Random,
  story: Story,
  folder: string,
  index: number,
  backing: Layer | undefined,
  compat: Qcow2Options['compat'] | undefined,
): Promise<Qcow2Layer> {
  const options = randomQcow2Options(random, {
    hasBacking: backing !== undefined,
    ...(compat && { compat }),
  });
  const layer = await createQcow2Layer(random, story, {
    folder,
    fileName: random.pick([`layer${index}.qcow2`, `läyer ${index}.img`]),
    options,
    virtualSize: randomSize(random, options.clusterSize, backing),
    backing,
  });
  await liveThrough(random, story, layer);
  return layer;
}

/** Mostly as long as the backing image. Sizes are small enough for a case to take well below a second. */
function randomSize(random: Random, clusterSize: number, backing: Layer | undefined): number {
  const largest = Math.min(largestDisk, clusterSize * mostClusters);
  if (backing !== undefined && backing.virtualSize <= largest && random.chance(0.6))
    return backing.virtualSize;
  const clusters = random.between(1, Math.min(largest / clusterSize, random.pick([40, 400, mostClusters])));
  const whole = clusters * clusterSize;
  return random.chance(0.5) ? whole : whole - random.below(clusterSize / 512) * 512;
}

function layersFrom(top: Qcow2Layer): Layer[] {
  const layers: Layer[] = [];
  for (let layer: Layer | undefined = top; layer !== undefined; ) {
    layers.push(layer);
    layer = layer.format === 'qcow2' ? layer.backing : undefined;
  }
  return layers;
}
