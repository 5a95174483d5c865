/** measure reports exactly what the same create-from then uses, to the cluster and to the byte. */
import { readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type BitmapSource,
  type CreateFromOptions,
  createFrom,
  type MeasureResult,
  measure,
  removeBitmaps,
} from '../../../../src/index.ts';
import { bitmapTool, bitmapToolJson } from '../../../support/bitmap-tool.ts';
import { digest } from '../../../support/file-state.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../../support/qemu.ts';
import { type Random, randomCases, seededRandom } from '../../../support/random.ts';
import { buildRandomChain } from '../../../support/random-chain.ts';
import { scratchFolder } from '../../../support/scratch.ts';

const KIB = 1024;
const REFCOUNT_TABLE_OFFSET = 48;
const REFCOUNT_TABLE_CLUSTERS = 56;
const REFCOUNT_ORDER = 96;

interface Refcounts {
  tableClusters: number;
  blocks: number;
  /** Clusters with a refcount above 0. */
  used: number;
}

/** Read by the byte numbers of the specification. */
async function refcountsOf(path: string): Promise<Refcounts> {
  const image = await readFile(path);
  const clusterSize = 2 ** image.readUInt32BE(20);
  const table = Number(image.readBigUInt64BE(REFCOUNT_TABLE_OFFSET));
  const tableClusters = image.readUInt32BE(REFCOUNT_TABLE_CLUSTERS);
  const bits = 2 ** image.readUInt32BE(REFCOUNT_ORDER);
  let blocks = 0;
  let used = 0;
  for (let at = table; at < table + tableClusters * clusterSize; at += 8) {
    const offset = Number(image.readBigUInt64BE(at));
    if (offset === 0) continue;
    blocks++;
    const block = image.subarray(offset, offset + clusterSize);
    used += bits < 8 ? nonZeroParts(block, bits) : nonZeroGroups(block, bits / 8);
  }
  return { tableClusters, blocks, used };
}

function nonZeroParts(block: Buffer, bits: number): number {
  let count = 0;
  for (const byte of block)
    for (let shift = 0; shift < 8; shift += bits) if (((byte >> shift) & (2 ** bits - 1)) !== 0) count++;
  return count;
}

function nonZeroGroups(block: Buffer, bytes: number): number {
  let count = 0;
  for (let at = 0; at < block.length; at += bytes)
    if (block.subarray(at, at + bytes).some((byte) => byte !== 0)) count++;
  return count;
}

/** Measures, checks that nothing was written, creates, and holds the one against the other. */
async function expectExact(
  path: string,
  name: string,
  source: BitmapSource,
  options: CreateFromOptions,
): Promise<MeasureResult> {
  const before = { digest: await digest(path), size: (await stat(path)).size };
  const refcounts = await refcountsOf(path);
  const measured = await measure(path, source, options);
  expect(await digest(path)).toBe(before.digest);
  const { bitmaps, plan } = await createFrom(path, source, options);
  const after = (await stat(path)).size;

  expect(measured).toEqual({
    schema: 1,
    image: path,
    bitmaps: bitmaps.map((bitmap) => bitmap.name),
    clusters: plan?.claimedClusters ?? 0,
    requiredBytes: plan?.claimedBytes ?? 0,
    endOffset: before.size,
    newEndOffset: after,
  });
  const released = plan?.releasedClusters ?? 0;
  const { used } = await refcountsOf(path);
  expect(used - refcounts.used).toBe(measured.clusters - released);
  expect(await qemuCheck(name)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
  const stored = (await qemuBitmaps(path)).map((bitmap) => bitmap.name);
  expect(stored).toEqual(expect.arrayContaining([...measured.bitmaps]));
  return measured;
}

function randomSource(random: Random, virtualSize: number): BitmapSource {
  const count = random.between(0, 40);
  const extents = Array.from({ length: count }, () => ({ offset: random.below(virtualSize), length: 1 }));
  return random.pick<BitmapSource>([
    { kind: 'allocated' },
    { kind: 'data' },
    { kind: 'everything' },
    { kind: 'extents', extents },
    { kind: 'extents', extents },
  ]);
}

describe('in random images measure', () => {
  for (const { seed, again } of randomCases(12)) {
    test(`reports what create-from then uses (${again})`, async () => {
      const random = seededRandom(seed);
      const wishes = { topCompat: '1.1', depths: [1, 1, 2] } as const;
      const { top, story } = await buildRandomChain(random, await scratchFolder(), wishes);
      await story.toldOnFailure(async () => {
        const names = Array.from({ length: random.between(2, 6) }, (_, index) => `new ${index}`);
        const granularity = random.chance(0.3) ? undefined : 2 ** random.between(9, 20);
        await expectExact(top.path, top.name, randomSource(random, top.virtualSize), { names, granularity });
        // Once more, with some existing bitmaps and released clusters.
        await removeBitmaps(top.path, names.slice(1));
        const more = { names: [...names, 'last'], granularity, ifExists: 'replace' } as const;
        await expectExact(top.path, top.name, randomSource(random, top.virtualSize), more);
      });
    });
  }
});

async function smallClusters(refcountBits: number, size: string, ...writes: string[]): Promise<string> {
  const path = join(await scratchFolder(), 'disk.qcow2');
  const options = `cluster_size=512,refcount_bits=${refcountBits}`;
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, size);
  await qemuIo(path, ...writes);
  return path;
}

/** Every second granule: no part of the bitmap is all zeros or all ones. */
function everySecond(granularity: number, virtualSize: number): BitmapSource {
  const count = Math.floor(virtualSize / (2 * granularity));
  const extents = Array.from({ length: count }, (_, index) => ({
    offset: 2 * index * granularity,
    length: 1,
  }));
  return { kind: 'extents', extents };
}

describe('in images of 512-byte clusters measure', () => {
  for (const { seed, again } of randomCases(3)) {
    test(`counts the added refcount blocks (${again})`, async () => {
      const random = seededRandom(seed);
      const bits = random.pick([16, 32, 64]);
      const path = await smallClusters(bits, '8M', `write -q 0 ${random.between(1, 400)}k`);
      const before = await refcountsOf(path);
      const names = Array.from({ length: random.between(50, 80) }, (_, index) => `n${index}`);
      const measured = await expectExact(path, path, everySecond(512, 8192 * KIB), {
        names,
        granularity: 512,
      });
      const after = await refcountsOf(path);
      expect(after.blocks).toBeGreaterThan(before.blocks);
      expect(measured.requiredBytes).toBe(measured.clusters * 512);
      // The bits alone, of each of the bitmaps.
      expect(measured.clusters).toBeGreaterThan(names.length * 4);
    });
  }

  test('counts a refcount table that outgrows its clusters', async () => {
    // A table of one cluster has 64 entries, for 64 clusters each: 2 MiB.
    const path = await smallClusters(64, '8M', 'write -q 0 1700k');
    const before = await refcountsOf(path);
    const names = Array.from({ length: 160 }, (_, index) => `n${index}`);
    await expectExact(path, path, everySecond(512, 8192 * KIB), { names, granularity: 512 });
    expect((await refcountsOf(path)).tableClusters).toBeGreaterThan(before.tableClusters);
  });
});

test('measure reports 0 bytes if there is nothing to create', async () => {
  const folder = await scratchFolder();
  const [base, overlay] = [join(folder, 'base.qcow2'), join(folder, 'overlay.qcow2')];
  await qemuImg('create', '-q', '-f', 'qcow2', base, '4M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
  await qemuIo(overlay, 'write -q 1M 64k');
  const first = await expectExact(overlay, overlay, { kind: 'allocated' }, {});
  expect(first.bitmaps).toEqual(['c1']);
  expect(first.clusters).toBeGreaterThan(0);
  const second = await expectExact(overlay, overlay, { kind: 'allocated' }, {});
  expect(second).toMatchObject({ bitmaps: [], clusters: 0, requiredBytes: 0 });
  expect(second.newEndOffset).toBe(second.endOffset);
});

test('measure refuses what create-from refuses', async () => {
  const path = await smallClusters(16, '1M');
  await qemuImg('bitmap', '--add', path, 'c1');
  const everything = { kind: 'everything' } as const;
  await expect(measure(path, everything, { names: ['c1'] })).rejects.toMatchObject({ code: 'BITMAP_EXISTS' });
  await expect(measure(path, everything, { granularity: 300 })).rejects.toMatchObject({ code: 'USAGE' });
  const none = { kind: 'bitmap', names: ['c2'] } as const;
  await expect(measure(path, none)).rejects.toMatchObject({ code: 'BITMAP_NOT_FOUND' });
});

/** A loop device over a file that holds an image and ends where the device does. */
async function imageOnDevice(sizeBytes: number): Promise<{ file: string; device: string }> {
  const file = join(await scratchFolder(), 'lv');
  await qemuImg('create', '-q', '-f', 'qcow2', file, '4M');
  await qemuIo(file, 'write -q 1M 256k');
  await truncate(file, sizeBytes);
  const { exitCode, stdout, stderr } = await execa('losetup', ['--find', '--show', file], { reject: false });
  if (exitCode !== 0) throw new Error(`losetup: ${stderr}; this test needs root and free loop devices`);
  onTestFinished(async () => {
    await execa('losetup', ['--detach', stdout]);
  });
  return { file, device: stdout };
}

const bitmaps = ['--allocated', '-n', 'c1', '-n', 'c2', '-n', 'c3'];

test('measure reports the exact size that a device needs for the bitmaps', async () => {
  const { file, device } = await imageOnDevice(640 * KIB);
  const before = await digest(file);
  const measured = await bitmapToolJson<MeasureResult>('measure', ...bitmaps, device);
  expect(await digest(file)).toBe(before);
  expect(measured).toMatchObject({ image: device, bitmaps: ['c1', 'c2', 'c3'], endOffset: 640 * KIB });
  expect(measured.newEndOffset).toBeGreaterThan(640 * KIB);
  const text = await bitmapTool('measure', ...bitmaps, device);
  expect(text.stdout).toContain(`size now ${640 * KIB} bytes, needed ${measured.newEndOffset} bytes`);

  for (const missing of [512, 0]) {
    await truncate(file, measured.newEndOffset - missing);
    await execa('losetup', ['--set-capacity', device]);
    const { exitCode, error } = await bitmapTool('create-from', ...bitmaps, device, '--json');
    expect(exitCode).toBe(missing === 0 ? 0 : 4);
    if (missing > 0) expect(error).toMatchObject({ code: 'NO_ROOM', neededBytes: measured.newEndOffset });
  }
  expect((await qemuBitmaps(device)).map(({ name }) => name)).toEqual(measured.bitmaps);
  expect(await qemuCheck(device)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
});

test('measure reports no larger size for a device with enough space', async () => {
  const { device } = await imageOnDevice(2048 * KIB);
  const measured = await bitmapToolJson<MeasureResult>('measure', ...bitmaps, device);
  expect(measured.endOffset).toBe(2048 * KIB);
  expect(measured.newEndOffset).toBeLessThanOrEqual(2048 * KIB);
  expect(measured.requiredBytes).toBe(measured.clusters * 65536);
  expect((await bitmapTool('create-from', ...bitmaps, device)).exitCode).toBe(0);
});
