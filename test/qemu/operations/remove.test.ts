/** remove: bitmaps by kind, of an image or of its whole chain. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { crashOn } from '../../support/crash.ts';
import { digest } from '../../support/file-state.ts';
import { holdOpen } from '../../support/hold-open.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

interface Chain {
  folder: string;
  top: string;
  base: string;
  images: string[];
}

interface Removed {
  images: {
    image: string;
    bitmaps: string[];
    plan: { releasedClusters: number; releasedBytes: number; claimedBytes: number };
  }[];
}

/** top ← middle ← base; c1 in all, c2 in the upper two, c3 in the top; and unneeded bitmaps. */
async function makeChain(): Promise<Chain> {
  const folder = await scratchFolder();
  const images = ['top', 'middle', 'base'].map((name) => join(folder, `${name}.qcow2`));
  const [top, middle, base] = images as [string, string, string];
  const add = async (image: string, ...names: string[]) => {
    for (const name of names) await qemuImg('bitmap', '--add', image, name);
  };
  await qemuImg('create', '-q', '-f', 'qcow2', base, '8M');
  await add(base, 'forgotten', 'c1');
  await qemuIo(base, 'write -q -P 1 1M 64k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', middle);
  await add(middle, 'c1', 'c2', 'forgotten');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top);
  await add(top, 'c1', 'libvirt-tmp-activewrite', 'c2', 'c3');
  return { folder, top, base, images };
}

const names = async (image: string) => (await qemuBitmaps(image)).map(({ name }) => name);
const allNames = (images: string[]) => Promise.all(images.map(names));

/** XML of checkpoints, each with its parent. */
async function writeXml(folder: string, ...checkpoints: string[]): Promise<string[]> {
  const args: string[] = [];
  for (const [index, name] of checkpoints.entries()) {
    const parent = index === 0 ? '' : `<parent><name>${checkpoints[index - 1]}</name></parent>`;
    const path = join(folder, `${name}.xml`);
    await writeFile(
      path,
      `<domaincheckpoint><name>${name}</name>${parent}<creationTime>${1_700_000_000 + index}</creationTime><disks><disk name='vda' checkpoint='bitmap' bitmap='${name}'/></disks></domaincheckpoint>`,
    );
    args.push('--checkpoints', path);
  }
  return args;
}

describe('remove', () => {
  test('--all removes every bitmap of the image, even one in use and one that a job left', async () => {
    const { folder, top, images } = await makeChain();
    await qemuImg('bitmap', '--add', top, 'last');
    await crashOn(top);
    const raw = join(folder, 'before.raw');
    await qemuImg('convert', '-O', 'raw', top, raw);
    const result = await bitmapToolJson<Removed>('remove', '--all', top);
    expect(result.images).toMatchObject([
      { image: top, bitmaps: ['c1', 'libvirt-tmp-activewrite', 'c2', 'c3', 'last'] },
    ]);
    expect(await allNames(images)).toEqual([[], ['c1', 'c2', 'forgotten'], ['forgotten', 'c1']]);
    expect(await qemuCheck(top)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
    expect(await compareImages(top, raw)).toMatchObject({ identical: true });
    // Once more there is nothing to do.
    expect(await bitmapToolJson<Removed>('remove', '--all', top)).toMatchObject({ images: [] });
  });

  test('--all --chain removes every bitmap of every image, and reports the released space', async () => {
    const { top, images } = await makeChain();
    const planned = await bitmapToolJson<Removed>('remove', '--all', '--chain', '--dry-run', top);
    expect(planned.images.map(({ image }) => image)).toEqual(images);
    expect(await allNames(images)).not.toContainEqual([]);
    const done = await bitmapToolJson<Removed>('remove', '--all', '--chain', top);
    for (const [index, { plan }] of done.images.entries()) {
      expect(plan.releasedBytes).toBe(plan.releasedClusters * 65536);
      expect(plan.releasedBytes).toBe(planned.images[index]!.plan.releasedBytes);
    }
    expect(await allNames(images)).toEqual([[], [], []]);
    for (const image of images)
      expect(await qemuCheck(image)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
  });

  test('--chain removes the named bitmaps from every image that has them', async () => {
    const { top, images } = await makeChain();
    await bitmapToolJson('remove', '--chain', top, 'c2', 'forgotten');
    expect(await allNames(images)).toEqual([['c1', 'libvirt-tmp-activewrite', 'c3'], ['c1'], ['c1']]);
    const { exitCode, error } = await bitmapTool('remove', '--chain', top, 'c1', 'c2', '--json');
    expect({ exitCode, code: error?.code }).toEqual({ exitCode: 4, code: 'BITMAP_NOT_FOUND' });
    expect(await names(top)).toContain('c1');
  });

  test('--unknown removes bitmaps that belong to no checkpoint on file', async () => {
    const { folder, top, images } = await makeChain();
    const files = await writeXml(folder, 'c1', 'c2');
    await bitmapToolJson('remove', '--unknown', ...files, '--disk', 'vda', top);
    expect(await allNames(images)).toEqual([
      ['c1', 'c2'],
      ['c1', 'c2', 'forgotten'],
      ['forgotten', 'c1'],
    ]);
    await bitmapToolJson('remove', '--unknown', '--chain', ...files, '--disk', 'vda', top);
    expect(await allNames(images)).toEqual([['c1', 'c2'], ['c1', 'c2'], ['c1']]);
  });

  test('--unknown is refused if the files are for another disk or match none of the bitmaps', async () => {
    const { folder, top, images } = await makeChain();
    const before = await Promise.all(images.map(digest));
    const files = await writeXml(folder, 'c1');
    expect((await bitmapTool('remove', '--unknown', ...files, '--disk', 'vdb', top)).exitCode).toBe(4);
    const others = await writeXml(folder, 'other');
    const { exitCode, error } = await bitmapTool(
      'remove',
      '--unknown',
      '--chain',
      ...others,
      '--disk',
      'vda',
      top,
      '--json',
    );
    expect(exitCode).toBe(4);
    expect(error?.message).toContain('they seem to be about another disk');
    expect(await Promise.all(images.map(digest))).toEqual(before);
  });

  test('writes nothing while an image of the chain is in use, even for reading', async () => {
    const { top, base, images } = await makeChain();
    const before = await Promise.all(images.map(digest));
    await holdOpen(base, '-r');
    const { exitCode, error } = await bitmapTool('remove', '--all', '--chain', top, '--json');
    expect({ exitCode, code: error?.code }).toEqual({ exitCode: 5, code: 'IMAGE_IN_USE' });
    expect(error?.message).toContain(base);
    expect(await Promise.all(images.map(digest))).toEqual(before);
    // The others are free.
    expect((await bitmapTool('remove', '--all', top)).exitCode).toBe(0);
  });

  test.each([
    { args: [], says: 'name the bitmaps' },
    { args: ['--all', 'c1'], says: 'cannot be combined' },
    { args: ['--all', '--unknown'], says: 'cannot be combined' },
    { args: ['--unknown'], says: '--unknown needs --checkpoints' },
    { args: ['--all', '--disk', 'vda'], says: 'belong to --unknown' },
    { args: ['--all', '--qmp', '/nowhere'], says: '--qmp and --domain take bitmaps by name' },
  ])('is a usage error with $args', async ({ args, says }) => {
    const { top } = await makeChain();
    const isOption = (word: string) => word.startsWith('-') || word === 'vda' || word === '/nowhere';
    const words = [...args.filter(isOption), top, ...args.filter((word) => !isOption(word))];
    const { exitCode, stderr } = await bitmapTool('remove', ...words);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(says);
  });
});

test('check reports bitmaps that a job left, and how to remove them', async () => {
  const { top } = await makeChain();
  const { json } = await bitmapTool('check', '--json', top);
  const { disks } = json as {
    disks: { images: { problems: { code: string; bitmap?: string; hint?: string }[] }[] }[];
  };
  const found = disks[0]!.images.map(({ problems }) =>
    problems.filter(({ code }) => code === 'temporary-bitmap'),
  );
  expect(found).toMatchObject([[{ bitmap: 'libvirt-tmp-activewrite', severity: 'note' }], [], []]);
  const [command] = /bitmap-tool .*$/.exec(found[0]![0]!.hint!)!;
  expect((await bitmapTool(...command.split(' ').slice(1))).exitCode).toBe(0);
  expect(await names(top)).toEqual(['c1', 'c2', 'c3']);
});
