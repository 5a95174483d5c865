/** What files of checkpoints tell of a disk: which of them are its own, and in which image each was made. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ChainImage } from '../../../../src/checkpoint/chain/chain-images.ts';
import { type CheckpointFiles, readRecords } from '../../../../src/checkpoint/verdict/known-checkpoints.ts';
import { fileIdentity } from '../../../../src/storage/file.ts';
import { scratchFolder } from '../../../support/scratch.ts';
import { madeUpImage } from '../chain-of.ts';

interface Disk {
  target: string;
  source?: string;
  covered?: boolean;
}

let folder: string;
let warnings: string[];
let files: string[];

beforeEach(async () => {
  folder = await scratchFolder();
  warnings = [];
  files = [];
});

/** Writes the next checkpoint: c0, c1, … */
async function checkpoint(...disks: Disk[]): Promise<void> {
  const path = join(folder, `${files.length}.xml`);
  const parent = files.length === 0 ? '' : `<parent><name>c${files.length - 1}</name></parent>`;
  const listed = disks.map(
    ({ target, covered = true }) => `<disk name='${target}' checkpoint='${covered ? 'bitmap' : 'no'}'/>`,
  );
  const told = disks.map(
    ({ target, source }) =>
      `<disk>${source === undefined ? '' : `<source file='${source}'/>`}<target dev='${target}'/></disk>`,
  );
  await writeFile(
    path,
    `<domaincheckpoint><name>c${files.length}</name>${parent}<creationTime>1</creationTime><disks>${listed.join('')}</disks><domain><devices>${told.join('')}</devices></domain></domaincheckpoint>`,
  );
  files.push(path);
}

/** Top first; each has the bitmaps. */
async function chain(names: readonly string[], ...bitmaps: string[]): Promise<ChainImage[]> {
  const states = Object.fromEntries(bitmaps.map((name) => [name, 'good' as const]));
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      await writeFile(path, '', { flag: 'a' });
      return madeUpImage(states, { path, identity: await fileIdentity(path) });
    }),
  );
}

const read = async (imageCount = 1, more: CheckpointFiles = {}) =>
  (await readRecords({ checkpoints: files, ...more }, imageCount, {
    onWarning: (warning) => warnings.push(warning),
  }))!;

describe('files', () => {
  test('may be left out, and then no disk may be named', async () => {
    for (const checkpoints of [undefined, []]) {
      expect(await readRecords({ checkpoints }, 1, {})).toBeUndefined();
      expect(await readRecords({ checkpoints, disks: [] }, 1, {})).toBeUndefined();
      await expect(readRecords({ checkpoints, disks: ['vda'] }, 1, {})).rejects.toThrow(
        '--disk says what --checkpoints call an image, and there are none',
      );
    }
  });

  test('want one --disk for each image, or none', async () => {
    await checkpoint({ target: 'vda' });
    for (const disks of [['vda', 'vdb'], []])
      await expect(read(1, { disks })).rejects.toThrow(`${disks.length} --disk for 1 images`);
  });
});

describe('the checkpoints of a disk', () => {
  test('come with their parents and with the image that was active, where that is still in the chain', async () => {
    const images = await chain(['top', 'middle', 'base']);
    await chain(['gone']);
    await checkpoint({ target: 'vda', source: join(folder, 'base') });
    await checkpoint({ target: 'vda', source: join(folder, 'top') });
    const records = await read();
    expect(await records.of(images, 0)).toEqual([
      { name: 'c0', parent: undefined, madeIn: 2 },
      { name: 'c1', parent: 'c0', madeIn: 0 },
    ]);
  });

  test('leave open where they were made, where nothing tells, or the image has gone since', async () => {
    const images = await chain(['top']);
    await checkpoint({ target: 'vda' });
    await checkpoint({ target: 'vda', source: join(folder, 'gone') });
    const records = await read(1, { disks: ['vda'] });
    expect((await records.of(images, 0)).map(({ madeIn }) => madeIn)).toEqual([undefined, undefined]);
  });

  test('are those that cover it', async () => {
    const images = await chain(['top']);
    const source = join(folder, 'top');
    await checkpoint({ target: 'vda', source });
    await checkpoint({ target: 'vda', source, covered: false }, { target: 'vdb' });
    const records = await read();
    expect((await records.of(images, 0)).map(({ name }) => name)).toEqual(['c0']);
    expect(warnings).toEqual([]);
  });

  test('go by what a person says, for each image by its position', async () => {
    const [top] = await chain(['top']);
    await checkpoint({ target: 'vda', source: '/a' }, { target: 'vdb', source: join(folder, 'top') });
    const records = await read(2, { disks: ['vdb', 'vda'] });
    expect((await records.of([top!], 0))[0]!.madeIn).toBe(0);
    expect((await records.of([top!], 1))[0]!.madeIn).toBeUndefined();
  });

  test('may tell no path where the image is the only one', async () => {
    const images = await chain(['top']);
    await checkpoint({ target: 'vda' });
    expect(await (await read(1)).of(images, 0)).toHaveLength(1);
    await expect((await read(2)).of(images, 0)).rejects.toMatchObject({
      code: 'INVALID_CHECKPOINT',
      message: expect.stringMatching(/top: not a disk of these checkpoints: .*"c0"/),
      hint: expect.stringContaining('--disk vda'),
      context: { file: join(folder, 'top') },
    });
  });

  test('that are of other disks are left out with a warning, unless all are', async () => {
    const images = await chain(['top', 'base']);
    await checkpoint({ target: 'vda', source: '/elsewhere/a' });
    await expect((await read()).of(images, 0)).rejects.toThrow(/not a disk of these checkpoints: .*"c0"/);
    await checkpoint({ target: 'vda', source: join(folder, 'base') });
    expect((await (await read()).of(images, 0)).map(({ name }) => name)).toEqual(['c1']);
    expect(warnings).toEqual([expect.stringMatching(/top: left out: .*checkpoint "c0"/)]);
  });

  test('are refused where the chain has the bitmap and only the path is another', async () => {
    const images = await chain(['top'], 'c0');
    await checkpoint({ target: 'vda', source: '/elsewhere/a' });
    await checkpoint({ target: 'vda', source: join(folder, 'top') });
    await expect((await read()).of(images, 0)).rejects.toThrow(
      /top: not a disk of these checkpoints: .*"c0"/,
    );
    // With --disk the person has said which disk it is.
    await checkpoint({ target: 'vdb', source: join(folder, 'top') });
    const records = await read(1, { disks: ['vdb'] });
    expect((await records.of(images, 0)).map(({ name }) => name)).toEqual(['c2']);
  });
});

describe('other disks of a checkpoint', () => {
  test('are warned of, by target or by name, when one of its disks was asked about', async () => {
    const images = await chain(['top']);
    await checkpoint(
      { target: 'vda', source: join(folder, 'top') },
      { target: 'vdb', source: '/b' },
      { target: 'vdc', covered: false },
      { target: 'vdd' },
    );
    const records = await read();
    await records.of(images, 0);
    records.warnOfOtherDisks();
    expect(warnings).toEqual([
      'checkpoint "c0" covers vdb, vdd too, and is valid only if those disks are in order',
    ]);
  });

  test('are not, when all of them were asked about, or none', async () => {
    const [top, other] = await chain(['top', 'other']);
    await checkpoint({ target: 'vda', source: join(folder, 'top') });
    await checkpoint(
      { target: 'vda', source: join(folder, 'top') },
      { target: 'vdb', source: join(folder, 'other') },
    );
    const records = await read(2);
    records.warnOfOtherDisks();
    expect(warnings).toEqual([]);
    await records.of([top!], 0);
    await records.of([other!], 1);
    warnings = [];
    records.warnOfOtherDisks();
    expect(warnings).toEqual([]);
  });
});
