/**
 * A checkpoint of several disks is on all of them or on none. If a write or flush fails, the added bitmaps are removed again.
 */
import { copyFile, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { createCheckpoint } from '../../../src/index.ts';
import { qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { examineOpenable } from './checker/examine.ts';
import { counts, failures } from './failing-fs.ts';

vi.mock('node:fs', async (importOriginal) => {
  const { failingFs } = await import('./failing-fs.ts');
  return failingFs(importOriginal);
});

let folder: string;
let images: [string, string];
let output: string;

beforeEach(async () => {
  folder = await scratchFolder();
  const original = join(folder, 'original.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', original, '8M');
  await qemuImg('bitmap', '--add', original, 'old');
  images = [join(folder, 'vda.qcow2'), join(folder, 'vdb.qcow2')];
  output = join(folder, 'new.xml');
  failures.length = 0;
  counts.clear();
});

async function fresh(): Promise<void> {
  for (const image of images) await copyFile(join(folder, 'original.qcow2'), image);
}

const create = () => createCheckpoint('new', images, { disks: ['vda', 'vdb'], output });

async function bitmapsOf(image: string): Promise<string[]> {
  const { errors, bitmaps } = examineOpenable(await readFile(image));
  expect(errors).toEqual([]);
  return bitmaps.map(({ name }) => name);
}

test.each(['write', 'fdatasync'] as const)(
  'a bitmap is taken back from the first disk if any %s of the second disk fails',
  async (call) => {
    await fresh();
    await create();
    const total = counts.get(`${call} ${images[1]}`)!;
    expect(total).toBeGreaterThan(2);
    for (let index = 0; index < total; index++) {
      await rm(output, { force: true });
      await fresh();
      failures.splice(0, 1, { call, path: images[1], countdown: index });
      const error = await create().then(
        () => undefined,
        (thrown: Error) => thrown,
      );
      expect(error?.message).toContain(`bitmap "new" was taken back from ${images[0]}`);
      expect(await bitmapsOf(images[0])).toEqual(['old']);
      // The message states the result on this disk: as before, or all new if the flush of the commit failed.
      const second = await bitmapsOf(images[1]);
      if (error!.message.includes('its bitmaps are as before')) expect(second).toEqual(['old']);
      expect(await readdir(folder)).toEqual(['original.qcow2', 'vda.qcow2', 'vdb.qcow2']);
      // After the cause is removed, the command is run again.
      failures.length = 0;
      await create();
      for (const image of images) expect(await bitmapsOf(image)).toEqual(['old', 'new']);
    }
  },
);

test('all bitmaps are taken back if the file for the XML cannot get its name', async () => {
  await fresh();
  failures.push({ call: 'link', path: output, countdown: 0 });
  await expect(create()).rejects.toThrow('taken back from');
  for (const image of images) expect(await bitmapsOf(image)).toEqual(['old']);
  expect(await readdir(folder)).toEqual(['original.qcow2', 'vda.qcow2', 'vdb.qcow2']);
});

test('the error names the disks from which the bitmap could not be taken back', async () => {
  await fresh();
  await create();
  const ownWrites = counts.get(`write ${images[0]}`)!;
  await rm(output);
  await fresh();
  failures.push(
    { call: 'link', path: output, countdown: 0 },
    { call: 'write', path: images[0], countdown: ownWrites },
  );
  const error = await create().catch((thrown: Error) => thrown);
  expect(error).toMatchObject({
    code: 'IO_ERROR',
    message: expect.stringContaining(
      `bitmap "new" was taken back from ${images[1]}; bitmap "new" stays in ${images[0]}`,
    ),
  });
  expect(await bitmapsOf(images[0])).toEqual(['old', 'new']);
  expect(await bitmapsOf(images[1])).toEqual(['old']);
});
