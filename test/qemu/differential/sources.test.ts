/** The other sources of `create-from`. The expected marks come from QEMU's tools, rounded outwards to granules. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import {
  clipped,
  type Extent,
  isSubset,
  normalised,
  roundedOut,
  totalLength,
  union,
} from '../../support/extents.ts';
import { runProgram } from '../../support/external-program.ts';
import { digest } from '../../support/file-state.ts';
import { writeTo } from '../../support/layer.ts';
import { addBitmap } from '../../support/layer-bitmaps.ts';
import { qemuBitmaps, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import type { DirtyExtent } from '../../support/qemu-bitmap.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain, type RandomChain } from '../../support/random-chain.ts';
import { randomWrites, writeCommands } from '../../support/random-writes.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { expectClean, expectDirty } from './expectations.ts';
import { dirtyRanges } from './image-state.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const MIB = 1 << 20;

interface Created {
  source: string;
  dryRun: boolean;
  bitmaps: { name: string; action: string; granularity: number; dirtyBytes: number }[];
}

/** A random image of one or two layers, in which two bitmaps of different granularities have recorded something. */
async function inRandomImage(
  seed: number,
  body: (random: Random, chain: RandomChain) => Promise<void>,
): Promise<void> {
  const random = seededRandom(seed);
  const chain = await buildRandomChain(random, await scratchFolder(), { topCompat: '1.1', depths: [1, 2] });
  await chain.story.toldOnFailure(async () => {
    for (const name of ['one', 'two']) {
      await addBitmap(chain.story, chain.top, { name, granularity: 512 << random.below(10) });
      await writeSome(random, chain);
    }
    await body(random, chain);
  });
}

async function writeSome(random: Random, { top, story }: RandomChain): Promise<void> {
  const disk = { virtualSize: top.virtualSize, clusterSize: top.options.clusterSize };
  await writeTo(story, top, writeCommands(randomWrites(random, disk, ['data', 'data', 'zero', 'unmap'], 4)));
}

/** Creates, merges into and replaces a bitmap from a source of which QEMU says that it is `expected`. */
async function expectSource(
  random: Random,
  { top, story }: RandomChain,
  source: readonly string[],
  expected: readonly Extent[],
): Promise<void> {
  const granularity = () => 512 * 2 ** random.below(random.chance(0.8) ? 12 : 23);
  const rounded = (bytes: number) => roundedOut(expected, bytes, top.virtualSize);
  const create = (...options: string[]) => {
    story.tell('.', ['bitmap-tool', 'create-from', ...source, ...options, top.path]);
    return bitmapToolJson<Created>('create-from', ...source, ...options, top.path);
  };

  const first = granularity();
  const options = ['--name', 'made', '--granularity', `${first}`];
  const before = await digest(top.path);
  const dry = await create(...options, '--dry-run');
  expect(await digest(top.path)).toBe(before);
  const made = await create(...options);
  expect(made).toMatchObject({
    source: source[0]!.slice(2),
    dryRun: false,
    bitmaps: [
      {
        name: 'made',
        action: 'created',
        granularity: first,
        enabled: true,
        dirtyBytes: totalLength(rounded(first)),
      },
    ],
  });
  expect({ ...dry, dryRun: false, plan: null }).toEqual({ ...made, plan: null });
  await expectDirty(top, 'made', rounded(first));
  expect(isSubset(clipped(expected, top.virtualSize), await dirtyRanges(top, 'made'))).toBe(true);

  // Two at once: "one" exists with other marks, and the other one is new.
  const earlier = await dirtyRanges(top, 'one');
  const own = (await qemuBitmaps(top.name)).find(({ name }) => name === 'one')!.granularity;
  await create('--name', 'one', '--name', 'beside', '--if-exists', 'merge', '-g', `${own}`);
  await expectDirty(top, 'one', union(earlier, rounded(own)));
  await expectDirty(top, 'beside', rounded(own));

  const second = granularity();
  const replaced = await create('--name', 'made', '--if-exists', 'replace', '-g', `${second}`);
  expect(replaced.bitmaps).toMatchObject([{ action: 'replaced', granularity: second }]);
  await expectDirty(top, 'made', rounded(second));
  expect((await qemuBitmaps(top.name)).filter(({ name }) => name === 'made')).toEqual([
    { name: 'made', granularity: second, flags: ['auto'] },
  ]);
  await expectClean(top);
}

describe('create-from --data', () => {
  for (const { seed, again } of randomCases(3)) {
    test(`marks what qemu-img map reports as data of this image (${again})`, async () => {
      await inRandomImage(seed, async (random, chain) => {
        const map = await qemuMap(chain.top.name);
        const data = normalised(map.filter(({ depth, present, data }) => depth === 0 && present && data));
        await expectSource(random, chain, ['--data'], data);
      });
    });
  }

  test('does not mark clusters that read as zeros, which --allocated marks', async () => {
    const image = await plainImage();
    await qemuIo(image, 'write -q -z 1M 128k', 'write -q 3M 64k');
    const [data, allocated] = await Promise.all(
      ['--data', '--allocated'].map((source) =>
        bitmapToolJson<Created>('create-from', source, '-n', 'x', '--dry-run', '-U', image),
      ),
    );
    expect(data?.bitmaps[0]?.dirtyBytes).toBe(65536);
    expect(allocated?.bitmaps[0]?.dirtyBytes).toBe(3 * 65536);
  });
});

describe('create-from --everything', () => {
  for (const { seed, again } of randomCases(2)) {
    test(`marks the whole disk and nothing past its end (${again})`, async () => {
      await inRandomImage(seed, (random, chain) =>
        expectSource(random, chain, ['--everything'], [{ start: 0, length: chain.top.virtualSize }]),
      );
    });
  }
});

describe('create-from --bitmap', () => {
  for (const { seed, again } of randomCases(3)) {
    test(`unites bitmaps of the image (${again})`, async () => {
      await inRandomImage(seed, async (random, chain) => {
        const { top } = chain;
        const both = union(await dirtyRanges(top, 'one'), await dirtyRanges(top, 'two'));
        await expectSource(random, chain, ['--bitmap', 'two'], await dirtyRanges(top, 'two'));
        await bitmapToolJson('remove', top.path, 'made', 'beside');
        // What was merged into "one" came from "two".
        await expectSource(random, chain, ['--bitmap', 'one', '--bitmap', 'two'], both);
      });
    });

    test(`unites bitmaps of another image (${again})`, async () => {
      await inRandomImage(seed, async (random, chain) => {
        const other = await imageWithBitmap(random, chain.top.virtualSize);
        const source = ['--bitmap', 'c1', '--bitmap', 'c2', '--from', other.path];
        const before = await digest(other.path);
        await expectSource(random, chain, source, other.dirty);
        expect(await digest(other.path)).toBe(before);
      });
    });

    test(`accepts a bitmap of a disk of another size only with --any-size (${again})`, async () => {
      await inRandomImage(seed, async (random, chain) => {
        const { top } = chain;
        const step = random.between(1, 2000) * 512;
        const isLonger = top.virtualSize <= step || random.chance(0.5);
        const otherSize = isLonger ? top.virtualSize + step : top.virtualSize - step;
        const other = await imageWithBitmap(random, otherSize);
        const source = ['--bitmap', 'c1', '--bitmap', 'c2', '--from', other.path];
        const before = await digest(top.path);
        const { exitCode, error } = await bitmapTool('create-from', ...source, '-n', 'x', top.path, '--json');
        expect({ exitCode, error }).toMatchObject({
          exitCode: 4,
          error: { code: 'SIZE_MISMATCH', sizeBytes: top.virtualSize, fromSizeBytes: otherSize },
        });
        expect(await digest(top.path)).toBe(before);
        const beyond = { start: otherSize, length: Math.max(0, top.virtualSize - otherSize) };
        const expected = clipped(union(other.dirty, [beyond]), top.virtualSize);
        await expectSource(random, chain, [...source, '--any-size'], expected);
      });
    });
  }

  test('is refused for missing bitmaps and for options of other sources', async () => {
    const image = await plainImage();
    await qemuImg('bitmap', '--add', image, 'c1');
    const before = await digest(image);
    const cases = [
      { args: ['--bitmap', 'c1', '--bitmap', 'c2'], exitCode: 4 },
      { args: ['--bitmap', 'c1', '--any-size'], exitCode: 2 },
      { args: ['--everything', '--from', image], exitCode: 2 },
      { args: ['--everything', '--data'], exitCode: 2 },
      { args: ['--bitmap', 'c1', '--from', `${image}.missing`], exitCode: 1 },
      { args: [], exitCode: 2 },
    ];
    for (const { args, exitCode } of cases) {
      expect(
        { args, exitCode: (await bitmapTool('create-from', ...args, '-n', 'x', image)).exitCode },
        args.join(' '),
      ).toEqual({ args, exitCode });
    }
    expect(await digest(image)).toBe(before);
  });
});

async function plainImage(size = '4M'): Promise<string> {
  const image = join(await scratchFolder(), 'plain.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, size);
  return image;
}

/** Another image with bitmaps c1 and c2, and what they mark together. */
async function imageWithBitmap(
  random: Random,
  virtualSize: number,
): Promise<{ path: string; dirty: Extent[] }> {
  const path = await plainImage(`${virtualSize}`);
  for (const name of ['c1', 'c2']) {
    await qemuImg('bitmap', '--add', '-g', `${512 << random.below(10)}`, path, name);
    const disk = { virtualSize, clusterSize: 65536 };
    await qemuIo(path, ...writeCommands(randomWrites(random, disk, ['data', 'unmap'], 3)));
  }
  const dirty = union(await nbdDirty(path, 'c1'), await nbdDirty(path, 'c2'));
  return { path, dirty };
}

/** What nbdinfo prints of an image that qemu-nbd serves. */
async function nbdMap(image: string, map: string, ...options: string[]): Promise<string> {
  const server = ['[', 'qemu-nbd', '-r', '-f', 'qcow2', ...options, image, ']'];
  return await runProgram('nbdinfo', ['--json', `--map=${map}`, '--', ...server]);
}

async function nbdDirty(image: string, bitmap: string): Promise<Extent[]> {
  const map = await nbdMap(image, `qemu:dirty-bitmap:${bitmap}`, '-B', bitmap);
  return extentsOf(JSON.parse(map), ({ type }) => type === 1);
}

function extentsOf(map: readonly DirtyExtent[], isMarked: (extent: DirtyExtent) => boolean): Extent[] {
  return map.filter(isMarked).map(({ offset, length }) => ({ start: offset, length }));
}

/** Another image with data, zeros and bitmaps, and the lists that tools make of it. */
interface Lists {
  kind: string;
  text: string;
  expected: Extent[];
}

async function listsOf(random: Random, virtualSize: number): Promise<Lists[]> {
  const { path, dirty } = await imageWithBitmap(random, virtualSize);
  const map = await qemuImg('map', '--output=json', path);
  const allocation = await nbdMap(path, 'base:allocation');
  const merged = await bitmapTool('merge', path, 'c1', 'c2');
  expect(merged.exitCode).toBe(0);
  const bitmap = await nbdMap(path, 'qemu:dirty-bitmap:c1', '-B', 'c1');
  const granules = await nbdDirty(path, 'c1');
  expect(isSubset(dirty, granules)).toBe(true);
  const lines = dirty.flatMap(({ start, length }, index) => [
    `# part ${index}`,
    index % 2 === 0 ? `${start} ${length}` : `  ${inSuffixes(start)}\t${inSuffixes(length)}  # 12 34`,
    '',
  ]);
  return [
    {
      kind: 'qemu-img map',
      text: map,
      expected: normalised((JSON.parse(map) as (Extent & { present: boolean })[]).filter((e) => e.present)),
    },
    {
      kind: 'nbdinfo of base:allocation',
      text: allocation,
      // Bit 0 says hole, bit 1 says zero.
      expected: extentsOf(JSON.parse(allocation), ({ type }) => (type & 1) === 0),
    },
    { kind: 'nbdinfo of a bitmap', text: bitmap, expected: granules },
    {
      kind: 'our dump',
      text: (await bitmapTool('dump', '--json', path, 'c1')).stdout,
      expected: granules,
    },
    { kind: 'lines', text: lines.join('\n'), expected: dirty },
    { kind: 'lines of DOS', text: lines.join('\r\n'), expected: dirty },
  ];
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
  for (const { seed, again } of randomCases(3)) {
    test(`accepts the lists of other tools, from a file and from stdin (${again})`, async () => {
      await inRandomImage(seed, async (random, chain) => {
        const { top } = chain;
        const list = join(await scratchFolder(), 'list');
        const all = await listsOf(random, top.virtualSize);
        for (const { kind, text, expected } of all) {
          const granularity = 512 << random.below(12);
          const rounded = roundedOut(expected, granularity, top.virtualSize);
          const options = ['-n', kind, '-g', `${granularity}`];
          await fromStdin(top.path, text, ...options);
          await expectDirty(top, kind, rounded);
          await writeFile(list, text);
          const again = ['--if-exists', 'merge', '-n', kind];
          const { bitmaps } = await bitmapToolJson<Created>(
            'create-from',
            '--extents',
            list,
            ...again,
            top.path,
          );
          expect(bitmaps, kind).toMatchObject([
            { action: 'unchanged', granularity, dirtyBytes: totalLength(rounded) },
          ]);
        }
        const { text, expected } = random.pick(all);
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
