/** `create-from --extents` with the lists of QEMU's tools and of nbdinfo. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { type Extent, isSubset, normalised, roundedOut, totalLength } from '../../support/extents.ts';
import { digest } from '../../support/file-state.ts';
import { qemuImg } from '../../support/qemu.ts';
import { randomCases } from '../../support/random.ts';
import { scratchFolder } from '../../support/scratch.ts';
import {
  type Created,
  expectSource,
  extentsOf,
  imageWithBitmap,
  inRandomImage,
  nbdDirty,
  nbdMap,
  plainImage,
} from './created-bitmaps.ts';
import { expectDirty } from './expectations.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const MIB = 1 << 20;

/** An image with data, zeros and the bitmaps c1 and c2, and what both mark together. */
type Source = Awaited<ReturnType<typeof imageWithBitmap>>;

interface List {
  text: string;
  expected: Extent[];
}

/** Each tool's list of an image, and the extents that it should mark. */
const LISTS: Record<string, (source: Source) => Promise<List>> = {
  async 'the map of qemu-img'({ path }) {
    const text = await qemuImg('map', '--output=json', path);
    const map = JSON.parse(text) as (Extent & { present: boolean })[];
    return { text, expected: normalised(map.filter(({ present }) => present)) };
  },
  async 'the allocation that nbdinfo prints'({ path }) {
    const text = await nbdMap(path, 'base:allocation');
    // Bit 0 says hole, bit 1 says zero.
    return { text, expected: extentsOf(JSON.parse(text), ({ type }) => (type & 1) === 0) };
  },
  async 'the bitmap that nbdinfo prints'(source) {
    const expected = await mergedBitmap(source);
    return { text: await nbdMap(source.path, 'qemu:dirty-bitmap:c1', '-B', 'c1'), expected };
  },
  async 'the output of dump'(source) {
    const expected = await mergedBitmap(source);
    return { text: (await bitmapTool('dump', '--json', source.path, 'c1')).stdout, expected };
  },
  'plain lines': async ({ dirty }) => ({ text: plainLines(dirty).join('\n'), expected: dirty }),
  'plain lines with the line ends of DOS': async ({ dirty }) => ({
    text: plainLines(dirty).join('\r\n'),
    expected: dirty,
  }),
};

/** Merges c2 into c1, and returns what QEMU reads in c1 then. */
async function mergedBitmap({ path, dirty }: Source): Promise<Extent[]> {
  const merged = await bitmapTool('merge', path, 'c1', 'c2');
  expect(merged.exitCode).toBe(0);
  const granules = await nbdDirty(path, 'c1');
  expect(isSubset(dirty, granules)).toBe(true);
  return granules;
}

function plainLines(dirty: readonly Extent[]): string[] {
  return dirty.flatMap(({ start, length }, index) => [
    `# part ${index}`,
    index % 2 === 0 ? `${start} ${length}` : `  ${inSuffixes(start)}\t${inSuffixes(length)}  # 12 34`,
    '',
  ]);
}

function inSuffixes(bytes: number): string {
  if (bytes % MIB === 0) return `${bytes / MIB}M`;
  return bytes % 1024 === 0 ? `${bytes / 1024}k` : `${bytes}b`;
}

/** Runs create-from with a list on stdin. */
async function fromStdin(image: string, list: string, ...options: string[]): Promise<Created> {
  const args = [program, 'create-from', '--extents', '-', ...options, image, '--json'];
  const { stdout } = await execa(process.execPath, args, { input: list });
  return JSON.parse(stdout);
}

describe('create-from --extents', () => {
  describe.each(Object.entries(LISTS))('accepts %s', (_, listOf) => {
    for (const { seed, again } of randomCases(1)) {
      test(`from stdin, and from a file, which then adds nothing (${again})`, async () => {
        await inRandomImage(seed, async (random, { top }) => {
          const { text, expected } = await listOf(await imageWithBitmap(random, top.virtualSize));
          const granularity = 512 << random.below(12);
          const rounded = roundedOut(expected, granularity, top.virtualSize);
          await fromStdin(top.path, text, '-n', 'made', '-g', `${granularity}`);
          await expectDirty(top, 'made', rounded);
          const list = join(await scratchFolder(), 'list');
          await writeFile(list, text);
          const again = ['--extents', list, '--if-exists', 'merge', '-n', 'made', top.path];
          expect((await bitmapToolJson<Created>('create-from', ...again)).bitmaps).toMatchObject([
            { action: 'unchanged', granularity, dirtyBytes: totalLength(rounded) },
          ]);
        });
      });
    }
  });

  for (const { seed, again } of randomCases(3)) {
    test(`creates, merges and replaces bitmaps from a list (${again})`, async () => {
      await inRandomImage(seed, async (random, chain) => {
        const listOf = random.pick(Object.values(LISTS));
        const { text, expected } = await listOf(await imageWithBitmap(random, chain.top.virtualSize));
        const list = join(await scratchFolder(), 'list');
        await writeFile(list, text);
        await expectSource(random, chain, ['--extents', list], expected);
      });
    });
  }

  test('counts overlapping and adjacent extents once, and ignores empty ones', async () => {
    const image = await plainImage();
    const list = '1M 64k\n1088k 512\n1M 1k\n2M 0\n# 3M 64k\n0 1';
    const { bitmaps } = await fromStdin(image, list, '-n', 'x', '-g', '512');
    expect(bitmaps).toMatchObject([{ dirtyBytes: 65536 + 512 + 512 }]);
  });

  test('accepts the map of an old qemu-img without the field "present"', async () => {
    const image = await plainImage();
    const list = [
      { start: 0, length: MIB, depth: 0, zero: false, data: true, offset: 3 * MIB },
      { start: MIB, length: MIB, depth: 0, zero: true, data: false },
    ];
    const { bitmaps } = await fromStdin(image, JSON.stringify(list), '-n', 'x');
    expect(bitmaps).toMatchObject([{ dirtyBytes: MIB }]);
  });

  test.each([
    '12',
    '1 2 3',
    'a b',
    '-1 5',
    '0 -512',
    '1.5k 5',
    '0x0 0x200',
    '9007199254740993 1',
    '0 512\n{"start":0}',
    'Offset          Length          Mapped to       File\n0               0x20000         0x50000         x',
    '{"start":0,"length":512,"present":true}',
    '[',
    '[{"offset":0,"length":512,"type":1,"description":"dirty"}',
    '[null]',
    '[[0,512]]',
    '["0 512"]',
    '[{}]',
    '[{"start":0,"present":true}]',
    '[{"start":0,"length":512}]',
    '[{"start":-1,"length":512,"present":true}]',
    '[{"start":0,"length":1.5,"present":true}]',
    '[{"start":"0","length":512,"present":true}]',
    '[{"start":0,"length":512,"present":"yes"}]',
    '[{"offset":0,"length":512,"type":1}]',
    '[{"offset":0,"length":512,"type":1,"description":"smelly"}]',
    '[{"offset":0,"length":512,"type":1,"description":"toString"}]',
    '[{"offset":0,"length":512,"type":1,"description":"dirty"},{"offset":512}]',
  ])('refuses %j and changes nothing', async (list) => {
    await expectBadList(list);
  });

  test.each([
    '4M 1',
    '4194303 2',
    '0 5M',
    '0 512\n8M 512',
    '[{"start":4194304,"length":512,"present":true}]',
    '[{"offset":0,"length":9007199254740991,"type":1,"description":"dirty"}]',
  ])('refuses an extent beyond the end of the disk: %j', async (list) => {
    expect(await expectBadList(list)).toContain('end of the disk');
  });

  test('accepts an extent that ends with the disk', async () => {
    const image = await plainImage(`${4 * MIB - 512}`);
    const { bitmaps } = await fromStdin(image, `3M ${MIB - 512}`, '-n', 'x');
    expect(bitmaps).toMatchObject([{ dirtyBytes: MIB - 512 }]);
  });

  test('reports a missing file', async () => {
    const image = await plainImage();
    const list = join(await scratchFolder(), 'list');
    await writeFile(list, '0 512');
    const args = ['create-from', '--extents', list, '-n', 'x', '--json', image];
    expect((await bitmapTool(...args, '--dry-run')).exitCode).toBe(0);
    await rm(list);
    const { exitCode, error } = await bitmapTool(...args);
    expect({ exitCode, code: error?.code }).toEqual({ exitCode: 1, code: 'FILE_NOT_FOUND' });
  });
});

/** Expects a usage error because of the list, and returns its message. */
async function expectBadList(list: string): Promise<string> {
  const image = await plainImage();
  const file = join(await scratchFolder(), 'list');
  await writeFile(file, list);
  const before = await digest(image);
  const { exitCode, stdout, error } = await bitmapTool(
    'create-from',
    '--extents',
    file,
    '-n',
    'x',
    '--json',
    image,
  );
  expect({ exitCode, stdout, code: error?.code }).toEqual({ exitCode: 2, stdout: '', code: 'USAGE' });
  expect(await digest(image)).toBe(before);
  return error!.message;
}
