/** Checkpoint files: which checkpoints belong to a disk, and their origins. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ChainImage } from '../../../../src/checkpoint/chain/chain-images.ts';
import { type CheckpointFiles, readRecords } from '../../../../src/checkpoint/known/known-checkpoints.ts';
import { fileIdentity } from '../../../../src/storage/file.ts';
import { scratchFolder } from '../../../support/scratch.ts';
import { madeUpImage } from '../chain-of.ts';

interface Disk {
  target: string;
  source?: string;
  backing?: string[];
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
  const recorded = disks.map(
    ({ target, source, backing }) =>
      `<disk>${source === undefined ? '' : `<source file='${source}'/>`}${storesOf(backing ?? [])}<target dev='${target}'/></disk>`,
  );
  await writeFile(
    path,
    `<domaincheckpoint><name>c${files.length}</name>${parent}<creationTime>1</creationTime><disks>${listed.join('')}</disks><domain><devices>${recorded.join('')}</devices></domain></domaincheckpoint>`,
  );
  files.push(path);
}

function storesOf([path, ...more]: string[] = []): string {
  if (path === undefined) return '<backingStore/>';
  return `<backingStore><source file='${path}'/>${storesOf(more)}</backingStore>`;
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

describe('checkpoint files', () => {
  test('may be left out, and then no disk may be named', async () => {
    for (const checkpoints of [undefined, []]) {
      expect(await readRecords({ checkpoints }, 1, {})).toBeUndefined();
      expect(await readRecords({ checkpoints, disks: [] }, 1, {})).toBeUndefined();
      await expect(readRecords({ checkpoints, disks: ['vda'] }, 1, {})).rejects.toThrow(
        'names of disks are given, but no checkpoints that use them',
      );
    }
  });

  test('need the name of a disk for each image or for none', async () => {
    await checkpoint({ target: 'vda' });
    for (const disks of [['vda', 'vdb'], []])
      await expect(read(1, { disks })).rejects.toThrow(`${disks.length} names of disks for 1 image`);
  });
});

describe('the checkpoints of a disk', () => {
  /** Of one disk alone. */
  const of = async (images: ChainImage[], more: CheckpointFiles = {}) =>
    (await (await read(1, more)).of([images]))[0]!;
  const at = (name: string) => join(folder, name);

  test('have their parents and, if it is still in the chain, the image that was active', async () => {
    const images = await chain(['top', 'middle', 'base']);
    await checkpoint({ target: 'vda', source: at('base') });
    await checkpoint({ target: 'vda', source: at('top'), backing: [at('middle'), at('base')] });
    expect(await of(images)).toEqual([
      { name: 'c0', parent: undefined, origin: { kind: 'in-chain', index: 2, isCertain: true } },
      { name: 'c1', parent: 'c0', origin: { kind: 'in-chain', index: 0, isCertain: true } },
    ]);
  });

  test('have no origin if nothing shows it or all their images have gone', async () => {
    const images = await chain(['top']);
    await checkpoint({ target: 'vda' });
    await checkpoint({ target: 'vda', source: at('gone') });
    expect((await of(images, { disks: ['vda'] })).map(({ origin }) => origin.kind)).toEqual([
      'unknown',
      'unknown',
    ]);
  });

  test('are the checkpoints that cover the disk', async () => {
    const images = await chain(['top']);
    const source = at('top');
    await checkpoint({ target: 'vda', source });
    await checkpoint({ target: 'vda', source, covered: false }, { target: 'vdb' });
    expect((await of(images)).map(({ name }) => name)).toEqual(['c0']);
    expect(warnings).toEqual([]);
  });

  test('follow the disks that the user names, one for each image', async () => {
    const [top] = await chain(['top']);
    await checkpoint({ target: 'vda', source: '/a' }, { target: 'vdb', source: at('top') });
    const [vdb, vda] = await (await read(2, { disks: ['vdb', 'vda'] })).of([[top!], [top!]]);
    expect(vdb![0]!.origin.kind).toBe('in-chain');
    expect(vda![0]!.origin.kind).toBe('unknown');
  });

  test('do not include a disk of the name that the user gives, and the refusal contains that name', async () => {
    const images = await chain(['top']);
    await checkpoint({ target: 'vdb', source: at('top') });
    await expect((await read(1, { disks: ['vda'] })).of([images])).rejects.toMatchObject({
      code: 'INVALID_CHECKPOINT',
      remedy: { kind: 'name-disk', disks: ['vdb'], said: 'vda' },
    });
  });

  test('need no path if there is only one image', async () => {
    const images = await chain(['top']);
    await checkpoint({ target: 'vda' });
    expect(await of(images)).toHaveLength(1);
    await expect((await read(2)).of([images, images])).rejects.toMatchObject({
      code: 'INVALID_CHECKPOINT',
      message: expect.stringMatching(/top: not a disk of these checkpoints: .*"c0"/),
      remedy: { kind: 'name-disk', disks: ['vda'], said: undefined },
      context: { file: at('top') },
    });
  });

  test('are left out with a warning if they belong to other disks, unless all do', async () => {
    const [base, other] = await chain(['base', 'other']);
    await checkpoint({ target: 'vda', source: at('base') });
    await expect(of([other!])).rejects.toThrow(/not a disk of these checkpoints: .*"c0"/);
    await checkpoint({ target: 'vda', source: at('base') }, { target: 'vdb', source: at('other') });
    expect((await of([other!])).map(({ name }) => name)).toEqual(['c1']);
    expect(warnings[0]).toMatch(/other: left out: .*checkpoint "c0"/);
    expect((await of([base!])).map(({ name }) => name)).toEqual(['c0', 'c1']);
  });

  test('are refused if they may belong to the disk, or if the chain has their bitmap', async () => {
    const [top] = await chain(['top'], 'c0');
    await checkpoint({ target: 'vda', source: '/elsewhere/a' });
    await checkpoint({ target: 'vda', source: '/elsewhere/a' }, { target: 'vdb', source: at('top') });
    // c0 is surely of the other disk, and yet its bitmap is here.
    await expect(of([top!])).rejects.toThrow(/top: not a disk of these checkpoints: .*"c0"/);
    // With --disk the person has said which disk it is.
    expect((await of([top!], { disks: ['vdb'] })).map(({ name }) => name)).toEqual(['c1']);
    await checkpoint({ target: 'sda', source: '/elsewhere/b' });
    await expect(of((await chain(['top'])) as ChainImage[])).rejects.toThrow(/checkpoint "c2"/);
  });

  test('belong to the disk with their target if their image is in no chain', async () => {
    const images = await chain(['base']);
    await chain(['overlay']);
    await checkpoint({ target: 'vda', source: at('base') });
    await checkpoint({ target: 'vda', source: at('overlay'), backing: [at('base')] });
    await checkpoint({ target: 'vda', source: at('gone'), backing: [at('base')] });
    await checkpoint({ target: 'vda', source: at('overlay') });
    expect((await of(images)).slice(1).map(({ origin }) => origin)).toEqual([
      { kind: 'left', path: at('overlay'), isThere: true, fork: 0 },
      { kind: 'left', path: at('gone'), isThere: false, fork: 0 },
      { kind: 'left', path: at('overlay'), isThere: true, fork: undefined },
    ]);
    expect(warnings).toEqual([]);
  });
});

describe('the image in which a checkpoint began', () => {
  const at = (name: string) => join(folder, name);
  const evidenceIn = async (names: string[], source: string, backing?: string[]) => {
    const images = await chain(names);
    files = [];
    const listed = backing?.map(at);
    await checkpoint({
      target: 'vda',
      source: at(source),
      ...(listed === undefined ? {} : { backing: listed }),
    });
    return (await (await read(1, { disks: ['vda'] })).of([images]))[0]![0]!.origin;
  };
  const lower = (path: string, imagesThen: number, first: number, last = first) => ({
    kind: 'lower',
    path: at(path),
    imagesThen,
    first,
    last,
  });

  test('is the image with the old path, even if images below it were committed or moved', async () => {
    for (const backing of [['base'], ['middle', 'base'], ['gone']])
      expect(await evidenceIn(['disk', 'base'], 'disk', backing)).toEqual({
        kind: 'in-chain',
        index: 0,
        isCertain: true,
      });
  });

  test('is not the image with the old path if more images are below it than before', async () => {
    expect(await evidenceIn(['disk', 'base'], 'disk', [])).toEqual(lower('disk', 1, 1));
    expect(await evidenceIn(['disk', 'one', 'base'], 'disk', ['base'])).toEqual(lower('disk', 2, 1));
    expect(await evidenceIn(['disk', 'one', 'two', 'base'], 'disk', ['base'])).toEqual(lower('disk', 2, 2));
    expect(await evidenceIn(['disk', 'one', 'two'], 'disk', ['gone'])).toEqual(lower('disk', 2, 1, 2));
    expect(await evidenceIn(['top', 'disk', 'one', 'two'], 'disk', [])).toEqual(lower('disk', 1, 3));
  });

  test('is at its old depth if all images have moved', async () => {
    expect(await evidenceIn(['new-overlay', 'new-disk'], 'gone', [])).toEqual(lower('gone', 1, 1));
    expect(await evidenceIn(['new-disk'], 'gone', [])).toEqual({ kind: 'unknown' });
  });

  test('is unknown if XML without a chain names an image that has others below it', async () => {
    const images = await chain(['top', 'disk', 'base']);
    await writeFile(
      at('0.xml'),
      `<domaincheckpoint><name>c0</name><creationTime>1</creationTime><disks><disk name='${at('disk')}'/></disks></domaincheckpoint>`,
    );
    files = [at('0.xml')];
    expect((await (await read()).of([images]))[0]![0]!.origin).toEqual({
      kind: 'in-chain',
      index: 1,
      isCertain: false,
    });
  });
});

describe('other disks of a checkpoint', () => {
  test('cause a warning, with target or name, if only some disks are checked', async () => {
    const images = await chain(['top']);
    await checkpoint(
      { target: 'vda', source: join(folder, 'top') },
      { target: 'vdb', source: '/b' },
      { target: 'vdc', covered: false },
      { target: 'vdd' },
    );
    await (await read()).of([images]);
    expect(warnings).toEqual([
      'checkpoint "c0" covers vdb, vdd too, and is valid only if those disks are in order',
    ]);
  });

  test('cause no warning if all disks are checked', async () => {
    const [top, other] = await chain(['top', 'other']);
    await checkpoint(
      { target: 'vda', source: join(folder, 'top') },
      { target: 'vdb', source: join(folder, 'other') },
    );
    await (await read(2)).of([[top!], [other!]]);
    expect(warnings).toEqual([]);
  });
});
