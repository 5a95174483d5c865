/** verify: a bitmap covers all differences from an older image, or the verdict lists what it lacks. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type BitmapVerdict, createFrom, verifyBitmap } from '../../../src/index.ts';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { difference, disagreements, type Extent, roundedOut, totalLength } from '../../support/extents.ts';
import { differingExtents, qemuGuestDisk } from '../../support/guest-disk.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { randomWrites, writeCommands } from '../../support/random-writes.ts';
import { scratchFolder } from '../../support/scratch.ts';

const size = 4 << 20;

/** An image with a bitmap that records, and a raw copy of it as it was. */
async function recorded(folder: string, granularity = 65536): Promise<{ image: string; old: string }> {
  const [image, old] = [join(folder, 'disk.qcow2'), join(folder, 'old.raw')];
  await qemuImg('create', '-q', '-f', 'qcow2', image, `${size}`);
  await qemuIo(image, 'write -P 1 0 2M');
  await qemuImg('convert', '-O', 'raw', image, old);
  await qemuImg('bitmap', '--add', '-g', `${granularity}`, image, 'c1');
  return { image, old };
}

test('the bitmaps of a checkpoint in several images are verified together with --chain', async () => {
  const folder = await scratchFolder();
  const { image: base, old } = await recorded(folder, 65536);
  await qemuIo(base, 'write -q -P 5 1M 64k');
  const overlay = join(folder, 'overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
  await qemuImg('bitmap', '--add', overlay, 'c1');
  await qemuIo(overlay, 'write -q -P 6 2M 64k');
  const alone = await bitmapTool('verify', overlay, 'c1', '--against', old);
  expect(alone).toMatchObject({ exitCode: 3, stdout: expect.stringContaining('--chain does so') });
  expect(await verifyBitmap(overlay, 'c1', old)).toMatchObject({ missingBytes: 65536, unreadImages: [base] });
  const together = await bitmapTool('verify', '--chain', overlay, 'c1', '--against', old);
  expect(together).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('covers every difference') });
  await qemuImg('bitmap', '--disable', base, 'c1');
  expect(await verifyBitmap(overlay, 'c1', old, { chain: true })).toMatchObject({
    covered: true,
    dirtyBytes: 131072,
    unreadImages: [],
  });
});

describe('verify', () => {
  for (const { seed, again } of randomCases(15)) {
    test(`has the verdict of a comparison byte by byte (${again})`, async () => {
      const random = seededRandom(seed);
      const granularity = 2 ** random.between(9, 18);
      const { image, old } = await recorded(await scratchFolder(), granularity);
      const disk = { virtualSize: size, clusterSize: 65536 };
      const kinds = ['data', 'zero', 'unmap'] as const;
      const seen = randomWrites(random, disk, kinds, random.between(0, 4));
      await qemuIo(image, ...writeCommands(seen));
      await qemuImg('bitmap', '--disable', image, 'c1');
      const unseen = randomWrites(random, disk, kinds, random.between(0, 2));
      await qemuIo(image, ...writeCommands(unseen));

      const differing = differingExtents(await qemuGuestDisk(image), await qemuGuestDisk(old), 512);
      const needed = roundedOut(differing, granularity, size);
      const marked = roundedOut(seen, granularity, size);
      const missing = difference(needed, marked);
      const verdict = await verifyBitmap(image, 'c1', old);
      expect(verdict).toMatchObject({
        schema: 1,
        bitmap: 'c1',
        against: old,
        virtualSize: size,
        granularity,
        covered: missing.length === 0,
        differingBytes: totalLength(differing),
        dirtyBytes: totalLength(marked),
        missingBytes: totalLength(missing),
        needlessBytes: totalLength(difference(marked, needed)),
      } satisfies Partial<BitmapVerdict>);
      const said = verdict.missing.map(({ offset, length }): Extent => ({ start: offset, length }));
      expect(disagreements(said, missing)).toEqual([]);
      expect((await bitmapTool('verify', image, 'c1', '--against', old)).exitCode).toBe(
        missing.length === 0 ? 0 : 3,
      );
    });
  }

  test('finds that the allocation of an overlay covers its differences from its base', async () => {
    const folder = await scratchFolder();
    const { image } = await recorded(folder);
    const overlay = join(folder, 'overlay.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay);
    await qemuIo(overlay, 'write -P 2 0 10k', 'write -P 1 512k 64k');
    expect(await verifyBitmap(overlay, '#ALLOCATED', image)).toMatchObject({
      covered: true,
      differingBytes: 10 << 10,
      dirtyBytes: 2 * 65536,
      needlessBytes: 65536,
    });
    await createFrom(overlay, { kind: 'compare', image }, { names: ['exact'] });
    expect(await verifyBitmap(overlay, 'exact', image)).toMatchObject({ covered: true, needlessBytes: 0 });
  });

  test('refuses disks of different sizes, missing bitmaps and raw images', async () => {
    const folder = await scratchFolder();
    const { image, old } = await recorded(folder);
    const shorter = join(folder, 'shorter.raw');
    await copyFile(old, shorter);
    await qemuImg('resize', '-q', '-f', 'raw', '--shrink', shorter, '1M');
    await expect(verifyBitmap(image, 'c1', shorter)).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    await expect(verifyBitmap(image, 'c2', old)).rejects.toMatchObject({ code: 'BITMAP_NOT_FOUND' });
    await expect(verifyBitmap(old, 'c1', image)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('shows the first twenty missing ranges as text, and all of them as JSON', async () => {
    const { image, old } = await recorded(await scratchFolder());
    await qemuImg('bitmap', '--disable', image, 'c1');
    await qemuIo(image, ...Array.from({ length: 30 }, (_, index) => `write -P 9 ${index * 128}k 512`));
    const text = await bitmapTool('verify', image, 'c1', '--against', old);
    expect(text.exitCode).toBe(3);
    expect(text.stdout).toContain('lacks 1.9 MiB of what differs');
    expect(text.stdout.match(/missing$/gm)).toHaveLength(20);
    expect(text.stdout).toContain('and 10 more ranges');
    const { exitCode, json } = await bitmapTool('verify', '--json', image, 'c1', '--against', old);
    expect(exitCode).toBe(3);
    expect((json as BitmapVerdict).missing).toHaveLength(30);
    const quiet = await bitmapTool('verify', '-q', image, 'c1', '--against', old);
    expect(quiet).toMatchObject({ exitCode: 3, stdout: '' });
  });

  test('reports a complete bitmap as text and as JSON', async () => {
    const { image, old } = await recorded(await scratchFolder());
    const { exitCode, stdout, stderr } = await bitmapTool('verify', image, 'c1', '--against', old);
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: `${image}: c1 covers every difference from ${old}\n0 B differ, 0 B are marked, 0 B of that without need.`,
    });
    expect(stderr).toContain('read as a raw image');
    const verdict = await bitmapToolJson<BitmapVerdict>('verify', image, 'c1', '--against', old);
    expect(verdict).toMatchObject({ schema: 1, covered: true, missing: [] });
  });

  test('requires --against', async () => {
    const { exitCode, stderr } = await bitmapTool('verify', 'disk.qcow2', 'c1');
    expect(exitCode).toBe(2);
    expect(stderr).toContain('--against');
  });
});
