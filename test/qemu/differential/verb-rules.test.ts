/** The rules of the verbs: several names in one call, bitmaps in use, names, and #ALLOCATED. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { crashOn } from '../../support/crash.ts';
import { type Extent, roundedOut, union } from '../../support/extents.ts';
import { tryProgram } from '../../support/external-program.ts';
import { digest } from '../../support/file-state.ts';
import { ownAllocation } from '../../support/map-answers.ts';
import { type BitmapInfo, qemuBitmaps, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { expectNoErrors, expectSameExtents } from './expectations.ts';

const CHANGING = ['clear', 'enable', 'disable'] as const;

/** An image with one dirty bitmap for each name, of as many granularities as there are names. */
async function imageWith(names: readonly string[], clusterSize = 65536, size = '4M'): Promise<string> {
  const image = join(await scratchFolder(), 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${clusterSize}`, image, size);
  for (const [index, name] of names.entries()) {
    await qemuImg('bitmap', '--add', '-g', `${512 << (2 * (index % 10))}`, image, name);
  }
  await qemuIo(image, 'write -q 100k 1k', 'write -q 2M 300k');
  return image;
}

async function dirty(image: string, name: string): Promise<Extent[]> {
  return (await dirtyExtents(image, name))
    .filter(({ type }) => type === 1)
    .map(({ offset, length }) => ({ start: offset, length }));
}

async function names(image: string): Promise<string[]> {
  return (await qemuBitmaps(image)).map(({ name }) => name);
}

describe('several names in one call', () => {
  test.each(['remove', ...CHANGING])('%s changes no byte if one of them is missing', async (verb) => {
    const image = await imageWith(['a', 'b', 'c']);
    const before = await digest(image);
    for (const list of [
      ['missing', 'a', 'b'],
      ['a', 'missing', 'b'],
      ['a', 'b', 'missing'],
    ]) {
      const { exitCode, error } = await bitmapTool(verb, image, ...list, '--json');
      expect({ exitCode, code: error?.code }).toEqual({ exitCode: 4, code: 'BITMAP_NOT_FOUND' });
      expect(error).toMatchObject({ bitmap: 'missing', bitmaps: ['a', 'b', 'c'] });
      expect(await digest(image)).toBe(before);
    }
    const { plan } = await bitmapToolJson<{ plan: object | null }>(verb, image, 'a', 'c');
    // All of them are enabled already.
    expect(plan === null).toBe(verb === 'enable');
    expect((await digest(image)) === before).toBe(verb === 'enable');
    await expectNoErrors(image);
  });

  test('add and merge change no byte if one of them is not possible', async () => {
    const image = await imageWith(['a', 'b']);
    const before = await digest(image);
    for (const args of [
      ['add', image, 'new', 'a', 'newer'],
      ['merge', image, 'a', 'b', 'missing'],
      ['merge', image, 'missing', 'a', 'b'],
    ]) {
      const { exitCode, error } = await bitmapTool(...args, '--json');
      const code = args[0] === 'add' ? 'BITMAP_EXISTS' : 'BITMAP_NOT_FOUND';
      expect({ exitCode, code: error?.code }).toEqual({ exitCode: 4, code });
      expect(await digest(image)).toBe(before);
    }
  });

  test('are one commit: the header is written once, after all new clusters and before any release', async () => {
    const image = await imageWith(['a', 'b', 'c']);
    interface Step {
      kind: 'write' | 'flush';
      reason: string;
      offset?: number;
    }
    for (const args of [
      ['add', image, 'd', 'e', 'f'],
      ['remove', image, 'a', 'c'],
      ['clear', image, 'a', 'b', 'c'],
      ['disable', image, 'a', 'b', 'c'],
    ]) {
      const before = await digest(image);
      const { plan } = await bitmapToolJson<{ plan: { steps: Step[] } }>(...args, '--dry-run');
      expect(await digest(image)).toBe(before);
      const inHeader = plan.steps.flatMap(({ offset }, index) => ((offset ?? 65536) < 65536 ? [index] : []));
      expect(inHeader, args.join(' ')).toHaveLength(1);
      const [commit] = inHeader;
      expect([plan.steps[commit! - 1]?.kind, plan.steps[commit! + 1]?.kind]).toEqual(
        commit === 0 ? [undefined, 'flush'] : ['flush', 'flush'],
      );
      const later = plan.steps.slice(commit! + 1).filter(({ kind }) => kind === 'write');
      expect(later.filter(({ reason }) => !reason.includes('released'))).toEqual([]);
    }
  });

  test('count once if a name is given twice', async () => {
    const image = await imageWith(['a']);
    const { bitmaps } = await bitmapToolJson<{ bitmaps: string[] }>('add', image, 'twice', 'twice');
    expect(bitmaps).toEqual(['twice']);
    expect(await names(image)).toEqual(['a', 'twice']);
    await bitmapToolJson('remove', image, 'twice', 'a', 'twice');
    expect(await names(image)).toEqual([]);
    await expectNoErrors(image);
  });
});

describe('a bitmap in use', () => {
  async function imageInUse(): Promise<string> {
    const image = await imageWith(['broken']);
    await crashOn(image);
    expect(await qemuBitmaps(image)).toMatchObject([{ name: 'broken', flags: ['in-use', 'auto'] }]);
    await qemuImg('bitmap', '--add', image, 'fine');
    return image;
  }

  test('is refused by every verb that changes or reads it, as by qemu-img', async () => {
    const image = await imageInUse();
    const before = await digest(image);
    const all = [
      ...CHANGING.map((verb) => ({ args: [verb, image, 'fine', 'broken'], peer: [`--${verb}`] })),
      { args: ['merge', image, 'broken', 'fine'], peer: ['--merge=fine'] },
    ];
    for (const { args } of all) {
      const { exitCode, error } = await bitmapTool(...args, '--json');
      expect({ exitCode, code: error?.code }).toEqual({ exitCode: 4, code: 'BITMAP_INCONSISTENT' });
      expect(error).toMatchObject({ bitmap: 'broken', hint: expect.stringContaining('--if-exists replace') });
    }
    const source = await bitmapTool('merge', image, 'fine', 'broken', '--json');
    expect(source.exitCode).toBe(4);
    expect(source.error).toMatchObject({ code: 'BITMAP_INCONSISTENT', hint: expect.any(String) });
    const add = await bitmapTool('add', image, 'broken', '--json');
    expect(add.exitCode).toBe(4);
    expect(add.error).toMatchObject({ code: 'BITMAP_EXISTS', hint: expect.any(String) });
    expect(await digest(image)).toBe(before);
    // Last, as a QEMU that refuses has written to the image all the same.
    for (const { peer } of all)
      expect((await tryProgram('qemu-img', ['bitmap', ...peer, image, 'broken'])).exitCode).toBe(1);
  });

  test('stays in use if others are changed, and can be removed', async () => {
    const image = await imageInUse();
    await bitmapToolJson('disable', image, 'fine');
    await bitmapToolJson('add', image, 'newer');
    expect(await qemuBitmaps(image)).toMatchObject([
      { name: 'broken', flags: ['in-use', 'auto'] },
      { name: 'fine', flags: [] },
      { name: 'newer', flags: ['auto'] },
    ]);
    await bitmapToolJson('remove', image, 'broken', 'fine');
    expect(await names(image)).toEqual(['newer']);
    await expectNoErrors(image);
  });
});

describe('bitmap names', () => {
  const longest = 'n'.repeat(1023);
  // 341 characters of three bytes each.
  const wide = '点'.repeat(341);

  test('of 1 and of 1023 bytes in any script are stored as by QEMU', async () => {
    const [ours, theirs] = [await imageWith([]), await imageWith([])];
    const all = ['x', longest, wide, '—', '🙂', 'c:\\%s "\'$(x)', 'tab\tand\nline', ' '];
    await bitmapToolJson('add', ours, ...all, '-g', '4k');
    for (const name of all) await qemuImg('bitmap', '--add', '-g', '4k', theirs, name);
    expect(await names(ours)).toEqual(all);
    for (const image of [ours, theirs]) await qemuIo(image, 'write -q 1M 64k', 'write -q 3M 1k');
    for (const name of ['x', longest, wide, '🙂']) {
      expect(await dirtyExtents(ours, name)).toEqual(await dirtyExtents(theirs, name));
      expect(await dirty(ours, name)).toHaveLength(2);
    }
    await bitmapToolJson('merge', ours, 'x', longest, wide);
    await bitmapToolJson('remove', ours, ...all.slice(1));
    expect(await names(ours)).toEqual(['x']);
    await expectNoErrors(ours);
  });

  test.each([
    { what: 'none', name: '' },
    { what: '1024', name: `${longest}n` },
    { what: '1026 in 342 characters', name: `${wide}点` },
  ])('of $what bytes are a usage error', async ({ name }) => {
    const image = await imageWith(['a']);
    const before = await digest(image);
    for (const args of [
      ['add', image, 'fine', name],
      ...CHANGING.map((verb) => [verb, image, 'a', name]),
      ['merge', image, name, 'a'],
    ]) {
      const { exitCode, error } = await bitmapTool(...args, '--json');
      expect({ args, exitCode, code: error?.code }).toEqual({ args, exitCode: 2, code: 'USAGE' });
    }
    expect(await digest(image)).toBe(before);
  });
});

test('one image can have 100 bitmaps', { timeout: 60_000 }, async () => {
  const all = Array.from({ length: 100 }, (_, index) => `checkpoint-${index}`);
  const [ours, theirs] = [await imageWith([], 512), await imageWith([], 512)];
  await bitmapToolJson('add', ours, ...all, '-g', '8k');
  for (const name of all) await qemuImg('bitmap', '--add', '-g', '8k', theirs, name);
  expect(await qemuBitmaps(ours)).toEqual(await qemuBitmaps(theirs));
  for (const image of [ours, theirs]) await qemuIo(image, 'write -q 17k 512', 'write -q 1M 1M');
  const listed = await bitmapToolJson<{ bitmaps: { dirtyBytes: number }[] }>('list', ours);
  expect(listed.bitmaps.map(({ dirtyBytes }) => dirtyBytes)).toEqual(all.map(() => (1 << 20) + 8192));

  await bitmapToolJson('disable', ours, ...all.slice(0, 50));
  await bitmapToolJson('clear', ours, ...all.slice(25, 75));
  await bitmapToolJson('merge', ours, all[25]!, ...all.slice(50));
  await bitmapToolJson('remove', ours, ...all.filter((_, index) => index % 25 !== 0));
  expect(await qemuBitmaps(ours)).toEqual(
    [0, 25, 50, 75].map((index) => ({
      name: all[index],
      granularity: 8192,
      flags: index < 50 ? [] : ['auto'],
    })),
  );
  const marked = [
    { start: 16384, length: 8192 },
    { start: 1 << 20, length: 1 << 20 },
  ];
  expectSameExtents(await dirty(ours, all[25]!), marked, 'merged from those that were not cleared');
  expectSameExtents(await dirty(ours, all[50]!), [], 'cleared');
  expectSameExtents(await dirty(ours, all[75]!), marked, 'left alone');
  await expectNoErrors(ours);
});

describe('#ALLOCATED', () => {
  for (const { seed, again } of randomCases(2)) {
    test(`can be a source of merge (${again})`, async () => {
      const random = seededRandom(seed);
      const clusterSize = random.pick([512, 4096, 65536, 1 << 20]);
      const image = await imageWith(['target'], clusterSize, `${random.between(5000, 9000) * 512}`);
      const granularity = 2 ** random.between(9, 24);
      await bitmapToolJson('remove', image, 'target');
      await bitmapToolJson('add', image, 'target', '-g', `${granularity}`);
      await qemuIo(image, 'write -q 1M 5k');
      await bitmapToolJson('disable', image, 'target');
      const marked = await dirty(image, 'target');
      const map = await qemuMap(image);
      const size = map.at(-1)!.start + map.at(-1)!.length;
      // It has the image's own unit, so the only rounding is the target's.
      await bitmapToolJson('merge', image, 'target', '#ALLOCATED');
      const expected = union(marked, roundedOut(ownAllocation(map), granularity, size));
      expectSameExtents(await dirty(image, 'target'), expected, again);
      await expectNoErrors(image);
    });
  }

  test('cannot be a target, added, removed or changed', async () => {
    const image = await imageWith(['a']);
    const before = await digest(image);
    for (const args of [
      ['add', image, 'b', '#ALLOCATED'],
      ...CHANGING.map((verb) => [verb, image, 'a', '#ALLOCATED']),
      ['merge', image, '#ALLOCATED', 'a'],
    ]) {
      const { exitCode, error } = await bitmapTool(...args, '--json');
      expect({ args, exitCode, code: error?.code }).toEqual({ args, exitCode: 4, code: 'BITMAP_LIMIT' });
      expect(error).toMatchObject({ hint: expect.any(String) });
    }
    const remove = await bitmapTool('remove', image, 'a', '#ALLOCATED', '--json');
    expect(remove).toMatchObject({ exitCode: 4, error: { code: 'BITMAP_NOT_FOUND' } });
    expect(await digest(image)).toBe(before);
  });

  test('is not a name that create-from chooses by itself', async () => {
    const image = await imageWith(['a']);
    const overlay = `${image}.overlay`;
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay);
    await qemuImg('bitmap', '--add', image, '#ALLOCATED');
    await bitmapTool('create-from', '--allocated', overlay);
    expect(await names(overlay)).not.toContain('#ALLOCATED');
    await bitmapToolJson('remove', image, 'a', '#ALLOCATED');
    await bitmapTool('create-from', '--bitmap', '#ALLOCATED', image);
    expect(await names(image)).not.toContain('#ALLOCATED');
  });

  test('as the name of a stored bitmap can only be listed and removed', async () => {
    const image = await imageWith(['a', '#ALLOCATED']);
    const { bitmaps } = await bitmapToolJson<{ bitmaps: BitmapInfo[] }>('list', image);
    expect(bitmaps).toMatchObject(await qemuBitmaps(image));
    const before = await digest(image);
    for (const verb of CHANGING) expect((await bitmapTool(verb, image, '#ALLOCATED')).exitCode, verb).toBe(4);
    expect((await bitmapTool('merge', image, '#ALLOCATED', 'a')).exitCode).toBe(4);
    expect(await digest(image)).toBe(before);
    const other = await dirty(image, 'a');
    await bitmapToolJson('remove', image, '#ALLOCATED');
    expect(await names(image)).toEqual(['a']);
    expect(await dirty(image, 'a')).toEqual(other);
    await expectNoErrors(image);
  });
});
