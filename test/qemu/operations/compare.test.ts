/** Comparison of disks: differences are exact to the sector or granule, and shared data is not read. */
import { copyFile, link, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Chain, openChain } from '../../../src/chain/chain.ts';
import type { Layer } from '../../../src/chain/layer.ts';
import { parseReference } from '../../../src/chain/reference.ts';
import { compareDisks } from '../../../src/guest/comparison/compare-disks.ts';
import { openGuestReader } from '../../../src/guest/data/guest-reader.ts';
import { createFrom, dumpBitmap } from '../../../src/index.ts';
import { disagreements, type Extent, roundedOut, union } from '../../support/extents.ts';
import { differingExtents, qemuGuestDisk } from '../../support/guest-disk.ts';
import { compareImages, encryptionOptions, imageName, qemuImg, qemuIo } from '../../support/qemu.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain, type RandomChain } from '../../support/random-chain.ts';
import { canHoldBitmaps } from '../../support/random-options.ts';
import { scratchFolder } from '../../support/scratch.ts';

/** Counts the bytes that are read from the data of every layer. Tables are read through another storage. */
function counted(chain: Chain, isCached: boolean) {
  const layers = new Map<number, Layer>();
  const count = { bytes: 0 };
  return {
    count,
    async layer(depth: number): Promise<Layer | undefined> {
      const layer = layers.get(depth) ?? (await chain.layer(depth));
      if (layer === undefined || layers.has(depth)) return layer;
      const { storage } = layer;
      const counting = Object.create(storage, {
        read: {
          value: (offset: number, into: Uint8Array) => {
            count.bytes += into.length;
            return storage.read(offset, into);
          },
        },
        readNow: {
          value: (offset: number, into: Uint8Array) => {
            if (isCached) count.bytes += into.length;
            return isCached && storage.readNow?.(offset, into);
          },
        },
      });
      const wrapped = { ...layer, storage: counting } as Layer;
      layers.set(depth, wrapped);
      return wrapped;
    },
  };
}

interface Compared {
  differing: Extent[];
  bytesRead: number;
  progress: number[];
}

/** Compares with reads in other threads, and again with reads from the page cache. */
async function compared(one: string, other: string, unitBytes = 512): Promise<Compared> {
  const result = await comparedBy(false, one, other, unitBytes);
  const { differing, bytesRead } = await comparedBy(true, one, other, unitBytes);
  expect(differing).toEqual(result.differing);
  // If a read from the page cache takes long, the part is read again in the other way.
  expect(bytesRead).toBeLessThanOrEqual(2 * result.bytesRead);
  return result;
}

async function comparedBy(
  isCached: boolean,
  one: string,
  other: string,
  unitBytes: number,
): Promise<Compared> {
  const open = (name: string) =>
    openChain(parseReference(name, undefined), { mode: 'read', locking: 'lock' });
  const left = await open(one);
  const right = await open(other);
  const [leftLayers, rightLayers] = [counted(left, isCached), counted(right, isCached)];
  const leftReader = await openGuestReader(leftLayers, 'lock');
  const rightReader = await openGuestReader(rightLayers, 'lock');
  try {
    const differing: Extent[] = [];
    const progress: number[] = [];
    await compareDisks(leftReader, rightReader, {
      unitBytes,
      onDifference: (start, length) => differing.push({ start, length }),
      onProgress: (doneBytes) => progress.push(doneBytes),
    });
    return { differing, bytesRead: leftLayers.count.bytes + rightLayers.count.bytes, progress };
  } finally {
    await Promise.all([leftReader.close(), rightReader.close(), left.close(), right.close()]);
  }
}

async function bitmapExtents(image: string, name: string): Promise<Extent[]> {
  const { extents } = await dumpBitmap(image, name);
  return [...extents()]
    .filter(({ type }) => type === 1)
    .map(({ offset, length }) => ({ start: offset, length }));
}

const isEncrypted = ({ layers }: RandomChain) => layers.some(({ encrypted }) => encrypted);

describe('two random chains', () => {
  for (const { seed, again } of randomCases(25)) {
    test(`differ exactly in the bytes that differ for QEMU (${again})`, async () => {
      const random = seededRandom(seed);
      const { one, other } = await relatedChains(random, await scratchFolder());
      const stories = [one.story, other.story];
      const tell = (body: () => Promise<void>) =>
        stories.reduce((inner, story) => () => story.toldOnFailure(inner), body)();
      await tell(async () => {
        const unitBytes = 2 ** random.between(9, 22);
        const expected = differingExtents(
          await qemuGuestDisk(one.top.name),
          await qemuGuestDisk(other.top.name),
          unitBytes,
        );
        const { identical } = await compareImages(one.top.name, other.top.name);
        expect(identical).toBe(expected.length === 0);
        let answer: Awaited<ReturnType<typeof compared>>;
        try {
          answer = await compared(one.top.path, other.top.path, unitBytes);
        } catch (error) {
          if (!isEncrypted(one) && !isEncrypted(other)) throw error;
          expect(error).toMatchObject({ code: 'UNSUPPORTED' });
          return;
        }
        expect(disagreements(answer.differing, expected)).toEqual([]);
        expect(answer.progress).toEqual(answer.progress.toSorted((a, b) => a - b));
        await expectMarked(random, one, other, expected);
      });
    });
  }
});

/** Two overlays of one base, an image and its own backing image, or two chains that have nothing in common. */
async function relatedChains(
  random: Random,
  folder: string,
): Promise<{ one: RandomChain; other: RandomChain }> {
  const one = await buildRandomChain(random, folder);
  const second = join(folder, 'second');
  await mkdir(second);
  const below = one.layers[1];
  if (below?.format === 'qcow2' && random.chance(0.3)) {
    return { one, other: { top: below, layers: one.layers.slice(1), story: one.story } };
  }
  if (one.top.files.length === 1 && !isEncrypted(one) && random.chance(0.5)) {
    return { one, other: await changedCopy(random, one) };
  }
  return { one, other: await buildRandomChain(random, second) };
}

/** A changed copy in the same folder, so that relative names stay valid. */
async function changedCopy(random: Random, chain: RandomChain): Promise<RandomChain> {
  const { top, layers, story } = chain;
  const path = `${top.path}.copy`;
  await copyFile(top.path, path);
  story.tell('.', ['cp', top.path, path]);
  for (let count = random.between(0, 3); count > 0; count--) {
    const start = random.below(top.virtualSize / 512) * 512;
    const length = Math.min(512 * random.between(1, 300), top.virtualSize - start);
    const command = random.chance(0.7) ? `write -q -P ${random.below(256)}` : 'write -q -z';
    await story.run('.', 'qemu-io', ['-c', `${command} ${start} ${length}`, path]);
  }
  const copy = { ...top, path, name: path, ownName: path, files: [path] };
  return { top: copy, layers: [copy, ...layers.slice(1)], story };
}

/** The same through create-from, with another granularity. */
async function expectMarked(
  random: Random,
  one: RandomChain,
  other: RandomChain,
  differing: readonly Extent[],
): Promise<void> {
  const { top } = one;
  if (!canHoldBitmaps(top.options) || top.options.lazyRefcounts) return;
  const granularity = 2 ** random.between(9, 20);
  const options = { names: ['compared'], granularity };
  const source = { kind: 'compare', image: other.top.path } as const;
  const [size, otherSize] = [top.virtualSize, other.top.virtualSize];
  if (size !== otherSize) {
    await expect(createFrom(top.path, source, options)).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
  }
  await createFrom(top.path, { ...source, anySize: true }, options);
  const [a, b] = [await qemuGuestDisk(top.name), await qemuGuestDisk(other.top.name)];
  const both = Math.min(size, otherSize);
  const within = differingExtents(a.subarray(0, both), b.subarray(0, both), 512);
  const rest = size > both ? [{ start: both, length: size - both }] : [];
  const expected = roundedOut(union(within, rest), granularity, size);
  expect(disagreements(await bitmapExtents(top.path, 'compared'), expected)).toEqual([]);
  expect(differing.length === 0 && size === otherSize ? expected : []).toEqual([]);
}

describe('data that both sides share is not read:', () => {
  const size = 16 << 20;

  async function baseWithOverlays(folder: string, baseOptions = ''): Promise<string[]> {
    const base = join(folder, 'base.qcow2');
    const overlays = ['one', 'other'].map((name) => join(folder, `${name}.qcow2`));
    await qemuImg(
      'create',
      '-q',
      '-f',
      'qcow2',
      ...(baseOptions ? ['-o', baseOptions] : []),
      base,
      `${size}`,
    );
    await qemuIo(base, `write -q -P 1 0 ${size}`);
    for (const each of overlays)
      await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', each);
    return [...overlays, base];
  }

  test('data of a common backing image', async () => {
    const [one, other, base] = await baseWithOverlays(await scratchFolder());
    await qemuIo(one!, 'write -P 2 1M 64k');
    const { differing, bytesRead } = await compared(one!, other!);
    expect(differing).toEqual([{ start: 1 << 20, length: 65536 }]);
    expect(bytesRead).toBe(2 * 65536);
    expect((await compared(one!, base!)).bytesRead).toBe(2 * 65536);
    expect(await compared(one!, one!)).toMatchObject({ differing: [], bytesRead: 0 });
  });

  test('data of a common backing image under another name', async () => {
    const folder = await scratchFolder();
    const [one, other, base] = await baseWithOverlays(folder);
    await link(base!, join(folder, 'hard link'));
    await qemuImg('rebase', '-u', '-b', join(folder, 'hard link'), '-F', 'qcow2', other!);
    expect(await compared(one!, other!)).toMatchObject({ differing: [], bytesRead: 0 });
  });

  test('a common raw file, and its holes', async () => {
    const folder = await scratchFolder();
    const base = join(folder, 'base.raw');
    await qemuImg('create', '-q', '-f', 'raw', base, `${size}`);
    await qemuIo(`json:{"driver":"raw","file":{"driver":"file","filename":"${base}"}}`, 'write -P 1 4M 1M');
    const overlay = join(folder, 'overlay.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', overlay);
    await qemuIo(overlay, 'write -z 8M 1M');
    expect(await compared(overlay, base)).toMatchObject({ differing: [], bytesRead: 0 });
  });

  test('zeros of any kind', async () => {
    const folder = await scratchFolder();
    const [one, other] = [join(folder, 'one.qcow2'), join(folder, 'other.qcow2')];
    await qemuImg('create', '-q', '-f', 'qcow2', one, `${size}`);
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', other, `${size}`);
    await qemuIo(one, 'write -z 0 1M');
    await qemuIo(other, `write -z 0 ${size}`);
    expect(await compared(one, other)).toMatchObject({ differing: [], bytesRead: 0 });
  });

  test('one data file of two images, or of an image and itself', async () => {
    const folder = await scratchFolder();
    const [one, other] = [join(folder, 'one.qcow2'), join(folder, 'other.qcow2')];
    const data = join(folder, 'data');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${data},data_file_raw=on`, one, `${size}`);
    await qemuIo(one, `write -P 1 0 ${size}`);
    await copyFile(one, other);
    expect(await compared(one, other)).toMatchObject({ differing: [], bytesRead: 0 });
    expect(await compared(one, data)).toMatchObject({ differing: [], bytesRead: 0 });
  });

  test('encrypted data of a common backing image', async () => {
    const folder = await scratchFolder();
    const base = join(folder, 'base.qcow2');
    const created = encryptionOptions('aes').join(',');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', created, base, '1M');
    await qemuIo(imageName({ path: base, format: 'qcow2', encrypted: true }), 'write -P 7 0 1M');
    const [one, other] = [join(folder, 'one.qcow2'), join(folder, 'other.qcow2')];
    for (const each of [one, other]) {
      await qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', base, '-F', 'qcow2', each, '1M');
    }
    expect(await compared(one, other)).toMatchObject({ differing: [], bytesRead: 0 });
    await qemuIo(
      `json:{"driver":"qcow2","file":{"driver":"file","filename":"${one}"},"backing":null}`,
      'write -P 7 0 64k',
    );
    await expect(compared(one, other)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe('create-from --compare', () => {
  test('is refused while the other image is in use', async () => {
    const folder = await scratchFolder();
    const [one, other] = [join(folder, 'one.qcow2'), join(folder, 'other.qcow2')];
    for (const each of [one, other]) await qemuImg('create', '-q', '-f', 'qcow2', each, '1M');
    const held = await openChain(parseReference(other, undefined), { mode: 'write', locking: 'lock' });
    try {
      await expect(createFrom(one, { kind: 'compare', image: other })).rejects.toMatchObject({
        code: 'IMAGE_IN_USE',
      });
    } finally {
      await held.close();
    }
  });

  test('warns if it reads an image as raw, and stops at a signal', async () => {
    const folder = await scratchFolder();
    const [image, raw] = [join(folder, 'disk.qcow2'), join(folder, 'disk.raw')];
    await qemuImg('create', '-q', '-f', 'qcow2', image, '8M');
    await qemuIo(image, 'write -P 3 1M 6M');
    await qemuImg('convert', '-O', 'raw', image, raw);
    const warnings: string[] = [];
    const phases = new Set<string>();
    const { bitmaps } = await createFrom(
      image,
      { kind: 'compare', image: raw },
      {
        onWarning: (message) => warnings.push(message),
        onProgress: ({ phase }) => phases.add(phase),
      },
    );
    expect(bitmaps).toMatchObject([{ name: 'compare', dirtyBytes: 0 }]);
    expect(warnings).toEqual([expect.stringContaining('read as a raw image')]);
    expect(phases).toContain('comparing');
    const signal = AbortSignal.abort(new Error('stop'));
    await expect(createFrom(image, { kind: 'compare', image: raw }, { signal })).rejects.toThrow();
  });
});
