/** Stored bitmaps of the committed images, compared with `qemu-img info` and QEMU's NBD server. */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { dumpBitmap, listBitmaps, RefusedError } from '../../../src/index.ts';
import { normalised, roundedOut } from '../../support/extents.ts';
import { ownAllocation } from '../../support/map-answers.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { AUTOCLEAR_LOWEST_BYTE, setByte } from '../../support/set-byte.ts';
import { caseNamed, cases, dirty, fileName, imagePath, needsCurrentFolder } from './cases.ts';
import { dumpExtents } from './dump-extents.ts';

describe.each(cases)('$name', (golden) => {
  const images = golden.info.map((info) => ({ info, path: join(golden.folder, fileName(info)) }));

  test("the list of bitmaps of each image is the same as QEMU's", async () => {
    for (const { info, path } of images) {
      const { format, virtualSize, bitmaps } = await listBitmaps(path);
      expect({ format, virtualSize }).toEqual({ format: info.format, virtualSize: info['virtual-size'] });
      const ours = bitmaps.map(({ name, granularity, flags }) => ({
        name,
        granularity,
        flags: [...flags].sort(),
      }));
      const qemus = (info['format-specific']?.data.bitmaps ?? []).map(({ name, granularity, flags }) => ({
        name,
        granularity,
        flags: [...flags].sort(),
      }));
      expect(ours).toEqual(qemus);
    }
  });

  test('each bitmap marks the extents that QEMU reads from it', async () => {
    for (const { info, path } of images) {
      for (const [name, extents] of Object.entries(golden.bitmaps[fileName(info)] ?? {})) {
        expect(await dumpExtents(path, name), `${path}: ${name}`).toEqual(extents);
      }
    }
  });

  test('the dirty bytes in the list are those that QEMU reads', async () => {
    for (const { info, path } of images) {
      for (const { name, dirtyBytes } of (await listBitmaps(path)).bitmaps) {
        const extents = golden.bitmaps[fileName(info)]?.[name];
        if (extents === undefined) expect(dirtyBytes).toBeNull();
        else expect(dirtyBytes).toBe(dirty(extents).reduce((sum, { length }) => sum + length, 0));
      }
    }
  });

  test('#ALLOCATED marks the extents that QEMU reports at depth 0, rounded outwards', async () => {
    const dump = await dumpBitmap(imagePath(golden), '#ALLOCATED');
    const marked = dirty(await dumpExtents(imagePath(golden), '#ALLOCATED'));
    const { granularity, virtualSize } = dump;
    expect(normalised(marked)).toEqual(roundedOut(ownAllocation(golden.map), granularity, virtualSize));
  });
});

test('the list of a chain contains every image, top first', async () => {
  for (const golden of cases.filter((each) => !needsCurrentFolder(each))) {
    const { layers } = await listBitmaps(imagePath(golden), { chain: true });
    expect(layers?.map(({ image }) => image)).toEqual(
      golden.info.map((info) => join(golden.folder, fileName(info))),
    );
  }
});

test('a bitmap in use cannot be read, and is listed without dirty bytes', async () => {
  const path = imagePath(caseNamed('bitmap-in-use'));
  const { bitmaps } = await listBitmaps(path);
  const inUse = bitmaps.filter(({ flags }) => flags.includes('in-use'));
  expect(inUse.length).toBeGreaterThan(0);
  for (const { name, dirtyBytes } of inUse) {
    expect(dirtyBytes).toBeNull();
    await expect(dumpBitmap(path, name)).rejects.toThrow(
      expect.objectContaining({
        code: 'BITMAP_INCONSISTENT',
        message: expect.stringContaining('marked in-use'),
      }),
    );
  }
});

test('disowned bitmaps are not listed and cannot be read', async () => {
  const path = imagePath(caseNamed('bitmap-autoclear-cleared'));
  expect(await listBitmaps(path)).toMatchObject({ bitmaps: [], stale: true });
  await expect(dumpBitmap(path, 'changes')).rejects.toThrow(RefusedError);
  await expect(dumpBitmap(path, 'changes')).rejects.toThrow('autoclear bit 0 is clear');
});

test('a union over a chain is refused if the bitmaps of an image below are disowned', async () => {
  const folder = await scratchFolder();
  await cp(caseNamed('bitmap-in-every-layer').folder, folder, { recursive: true });
  const top = join(folder, 'disk.qcow2');
  expect(await dumpBitmap(top, 'checkpoint-1', { chain: true })).toMatchObject({ name: 'checkpoint-1' });
  await setByte(join(folder, 'middle.qcow2'), AUTOCLEAR_LOWEST_BYTE, 0);
  await expect(dumpBitmap(top, 'checkpoint-1', { chain: true })).rejects.toThrow(
    expect.objectContaining({
      code: 'BITMAP_INCONSISTENT',
      message: expect.stringMatching(/middle\.qcow2: .*autoclear bit 0 is clear/),
    }),
  );
  expect(await dumpBitmap(top, '#ALLOCATED', { chain: true })).toMatchObject({ name: '#ALLOCATED' });
});

test('a missing bitmap is refused, and the message names the existing ones', async () => {
  await expect(dumpBitmap(imagePath(caseNamed('odd-size')), 'change')).rejects.toThrow(
    expect.objectContaining({
      code: 'BITMAP_NOT_FOUND',
      remedy: { kind: 'name-existing-bitmap', names: ['changes'] },
    }),
  );
});
