/**
 * The sources --data, --everything and --bitmap of `create-from`. The expected marks come from QEMU's tools, rounded outwards
 * to granules.
 */
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { clipped, normalised, union } from '../../support/extents.ts';
import { digest } from '../../support/file-state.ts';
import { qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { randomCases } from '../../support/random.ts';
import { type Created, expectSource, imageWithBitmap, inRandomImage, plainImage } from './created-bitmaps.ts';
import { dirtyRanges } from './image-state.ts';

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
