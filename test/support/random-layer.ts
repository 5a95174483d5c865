/** Creates one layer of a chain: a raw file with something in it, or an empty qcow2 image. */
import { truncate } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type Layer, type Qcow2Layer, type RawLayer, writeTo } from './layer.ts';
import { encryptionOptions, imageName, keyFor, ownImageName } from './qemu.ts';
import type { Random } from './random.ts';
import type { Qcow2Options } from './random-options.ts';
import { randomWrites, type WriteKind, writeCommands } from './random-writes.ts';
import type { Story } from './story.ts';

/** A raw file with data and holes; now and then its last sector is cut short. */
export async function buildRawLayer(
  random: Random,
  story: Story,
  folder: string,
  fileName: string,
  virtualSize: number,
): Promise<RawLayer> {
  const path = join(folder, fileName);
  await story.run(folder, 'qemu-img', ['create', '-q', '-f', 'raw', path, String(virtualSize)]);
  const layer: RawLayer = { path, format: 'raw', encrypted: false, virtualSize, name: path, files: [path] };
  const kinds: WriteKind[] = ['data', 'data', 'zero', 'discard'];
  const writes = randomWrites(random, { virtualSize, clusterSize: 65536 }, kinds, random.between(0, 12));
  await writeTo(story, layer, writeCommands(writes));
  if (random.chance(0.1)) {
    const odd = virtualSize - random.between(1, 511);
    story.tell(folder, ['truncate', '-s', String(odd), path]);
    await truncate(path, odd);
  }
  return layer;
}

export interface Qcow2Plan {
  folder: string;
  fileName: string;
  options: Qcow2Options;
  virtualSize: number;
  backing: Layer | undefined;
}

/** An image just created, with nothing written to it. */
export async function createQcow2Layer(random: Random, story: Story, plan: Qcow2Plan): Promise<Qcow2Layer> {
  const { folder, fileName, options, virtualSize, backing } = plan;
  const path = join(folder, fileName);
  // QEMU takes a relative name of a data file from its own working folder, not from the image's.
  const dataFile = options.dataFile === 'none' ? undefined : `${path}.data`;
  const created = creationOptions(options);
  if (dataFile !== undefined) created.push(`data_file=${dataFile}`);
  const args = ['create', '-q', '-f', 'qcow2', ...keyFor(created), '-o', created.join(',')];
  if (backing !== undefined) {
    args.push('-u', '-b', backingName(random, folder, backing), '-F', backing.format);
  }
  await createPatiently(story, folder, [...args, path, String(virtualSize)]);

  const layer = {
    path,
    format: 'qcow2',
    encrypted: options.encryption !== 'none',
    ...(backing && { backing }),
  } as const;
  return {
    ...layer,
    virtualSize,
    name: imageName(layer),
    ownName: ownImageName(layer),
    files: dataFile === undefined ? [path] : [path, dataFile],
    options,
    bitmaps: [],
    snapshots: [],
  };
}

function creationOptions(options: Qcow2Options): string[] {
  const { compat, clusterSize, encryption, dataFile } = options;
  const created = [`compat=${compat}`, `cluster_size=${clusterSize}`];
  if (compat === '1.1') {
    created.push(`refcount_bits=${options.refcountBits}`);
    created.push(`extended_l2=${options.extendedL2 ? 'on' : 'off'}`);
    created.push(`compression_type=${options.compression}`);
    created.push(`lazy_refcounts=${options.lazyRefcounts ? 'on' : 'off'}`);
    created.push(`preallocation=${options.preallocation}`);
  }
  if (dataFile === 'raw') created.push('data_file_raw=on');
  if (encryption !== 'none') created.push(...encryptionOptions(encryption));
  return created;
}

const luksAttempts = 40;

/** LUKS times its key derivation, and gives up where the kernel counts processor time too coarsely: ask again. */
async function createPatiently(story: Story, folder: string, args: readonly string[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await story.run(folder, 'qemu-img', args);
      return;
    } catch (error) {
      const isCoarseClock = String(error).includes('Unable to get accurate CPU usage');
      if (!isCoarseClock || attempt === luksAttempts) throw error;
    }
  }
}

/** The ways a header may name its backing image. One that needs a key gets it along its plain name only. */
function backingName(random: Random, folder: string, backing: Layer): string {
  const ways = ['relative', 'relative', 'absolute', 'file'];
  if (backing.name === backing.path) ways.push('json');
  switch (random.pick(ways)) {
    case 'relative':
      return relative(folder, backing.path);
    case 'file':
      return `file:${backing.path}`;
    case 'json':
      return `json:${JSON.stringify({
        driver: backing.format,
        file: { driver: 'file', filename: backing.path },
      })}`;
    default:
      return backing.path;
  }
}
