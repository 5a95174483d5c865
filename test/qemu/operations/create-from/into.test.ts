/**
 * create-from --into stores bitmaps in a new image over the image, which is only read. QEMU opens, checks, compares and serves
 * the result.
 */
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../../support/bitmap-tool.ts';
import { digest } from '../../../support/file-state.ts';
import { holdOpen } from '../../../support/hold-open.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuInfo, qemuIo } from '../../../support/qemu.ts';
import { type DirtyExtent, dirtyExtents } from '../../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../../support/scratch.ts';

const program = fileURLToPath(new URL('../../../../bin/bitmap-tool.js', import.meta.url));
const CLEAN = { errors: 0, leaks: 0, corruptions: 0 };

const dirty = (extents: readonly DirtyExtent[]) =>
  extents.filter(({ type }) => type === 1).map(({ offset, length }) => [offset, length]);

interface Shape {
  name: string;
  create: string[];
  size: string;
  format?: 'raw';
  writes: string[];
  args: string[];
  /** What the bitmap must mark, as [offset, length]. */
  marks: number[][];
  granularity: number;
}

const MIB = 1 << 20;
const everything = [[0, 8 * MIB]];

const shapes: Shape[] = [
  {
    name: 'a version 3 image',
    create: [],
    size: '8M',
    writes: ['write -q 1M 64k', 'write -q -z 2M 64k'],
    args: ['--allocated'],
    marks: [
      [MIB, 65536],
      [2 * MIB, 65536],
    ],
    granularity: 65536,
  },
  {
    name: 'the data of an image with small clusters',
    create: ['-o', 'cluster_size=4k'],
    size: '8M',
    writes: ['write -q 1M 4k', 'write -q -z 2M 4k'],
    args: ['--data'],
    marks: [[MIB, 4096]],
    granularity: 4096,
  },
  {
    name: 'a version 2 image, which can hold no bitmap itself',
    create: ['-o', 'compat=0.10'],
    size: '8M',
    writes: ['write -q 3M 64k'],
    args: ['--allocated', '-g', '512'],
    marks: [[3 * MIB, 65536]],
    granularity: 512,
  },
  {
    name: 'a raw image, which holds all of its disk',
    create: [],
    size: '8M',
    format: 'raw',
    writes: ['write -q 1M 64k'],
    args: ['--allocated'],
    marks: everything,
    granularity: 65536,
  },
  {
    name: 'the data of a raw image with holes',
    create: [],
    size: '8M',
    format: 'raw',
    // The first sector was written when the image was created.
    writes: ['write -q 0 64k'],
    args: ['--data'],
    marks: [[0, 65536]],
    granularity: 65536,
  },
  {
    name: 'a disk that needs a large L1 table',
    create: ['-o', 'cluster_size=2M'],
    size: '3P',
    writes: ['write -q 2M 2M'],
    args: ['--allocated', '-g', '2M'],
    marks: [[2 * MIB, 2 * MIB]],
    granularity: 2 * MIB,
  },
];

describe.each(shapes)(
  '--into stores a bitmap of $name',
  ({ create, size, format, writes, args, marks, granularity }) => {
    test('in a new image without errors, and does not change the image', async () => {
      const folder = await scratchFolder();
      const [image, overlay] = [join(folder, 'disk'), join(folder, 'new.qcow2')];
      await qemuImg('create', '-q', '-f', format ?? 'qcow2', ...create, image, size);
      await qemuIo(format === 'raw' ? rawName(image) : image, ...writes);
      const before = await digest(image);

      // By a relative path: the overlay must name an absolute one.
      const result = await bitmapToolJson<{ into: string; plan: { newEndOffset: number } }>(
        'create-from',
        ...args,
        '--name',
        'marks',
        '--into',
        overlay,
        relative(process.cwd(), image),
      );
      expect(result.into).toBe(overlay);
      expect((await readFile(overlay)).length).toBe(result.plan.newEndOffset);
      expect(await digest(image)).toBe(before);
      expect(await readdir(folder)).toEqual(['disk', 'new.qcow2']);

      expect(await qemuCheck(overlay)).toMatchObject(CLEAN);
      const info = await qemuInfo(overlay);
      expect(info).toMatchObject({
        'virtual-size': (await qemuInfo(image))['virtual-size'],
        'backing-filename': image,
        'backing-filename-format': format ?? 'qcow2',
      });
      expect(await qemuBitmaps(overlay)).toEqual([{ name: 'marks', granularity, flags: ['auto'] }]);
      expect(dirty(await dirtyExtents(overlay, 'marks'))).toEqual(marks);
      if (size === '8M') expect(await compareImages(overlay, image)).toMatchObject({ identical: true });
      // QEMU writes to it like to any image, and continues to record.
      await qemuIo(overlay, 'write -q 7M 64k');
      expect(await qemuCheck(overlay)).toMatchObject(CLEAN);
      expect(dirty(await dirtyExtents(overlay, 'marks')).length).toBe(
        marks === everything ? 1 : marks.length + 1,
      );
    });
  },
);

function rawName(path: string): string {
  return `json:${JSON.stringify({ driver: 'raw', file: { driver: 'file', filename: path } })}`;
}

describe('--into', () => {
  test('never replaces an existing file, even a dangling link', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
    await writeFile(join(folder, 'there'), 'precious');
    await symlink('nowhere', join(folder, 'link'));
    await mkdir(join(folder, 'folder'));
    const before = await readdir(folder);
    for (const name of ['there', 'link', 'folder', 'disk.qcow2']) {
      const { exitCode, error } = await bitmapTool(
        'create-from',
        '--everything',
        '--into',
        join(folder, name),
        image,
        '--json',
      );
      expect({ name, exitCode, code: error?.code }).toEqual({ name, exitCode: 4, code: 'FILE_EXISTS' });
    }
    const missing = await bitmapTool(
      'create-from',
      '--everything',
      '--into',
      join(folder, 'no', 'new.qcow2'),
      image,
      '--json',
    );
    expect({ exitCode: missing.exitCode, code: missing.error?.code }).toEqual({
      exitCode: 1,
      code: 'FILE_NOT_FOUND',
    });
    expect(await readdir(folder)).toEqual(before);
    expect(await readFile(join(folder, 'there'), 'utf8')).toBe('precious');
  });

  test('refuses options that make no sense for a new image', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
    const into = ['--into', join(folder, 'new.qcow2')];
    expect(
      (await bitmapTool('create-from', '--everything', '--if-exists', 'merge', ...into, image)).exitCode,
    ).toBe(2);
    const named = `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: image }, backing: null })}`;
    expect((await bitmapTool('create-from', '--everything', ...into, named)).exitCode).toBe(4);
    const long = join(folder, `${'x'.repeat(200)}/`.repeat(5), 'disk.qcow2');
    await mkdir(join(long, '..'), { recursive: true });
    await qemuImg('create', '-q', '-f', 'qcow2', long, '1M');
    const { exitCode, error } = await bitmapTool('create-from', '--everything', ...into, long, '--json');
    expect(exitCode).toBe(4);
    expect(error?.message).toMatch(/new\.qcow2: backing file name of \d+ bytes: QEMU allows 1023/);
    expect(await readdir(folder)).not.toContain('new.qcow2');
  });

  test('reads a read-only image, and an image in use only with --force-share', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
    await chmod(image, 0o444);
    await bitmapToolJson('create-from', '--everything', '--into', join(folder, 'one.qcow2'), image);
    await chmod(image, 0o644);
    await holdOpen(image);
    const into = join(folder, 'two.qcow2');
    expect((await bitmapTool('create-from', '--everything', '--into', into, image)).exitCode).toBe(5);
    expect((await bitmapTool('create-from', '--everything', '-U', '--into', into, image)).exitCode).toBe(0);
    expect(await qemuBitmaps(into)).toHaveLength(1);
  });

  test('plans with --dry-run and writes nothing', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', image, '64M');
    await qemuIo(image, 'write -q 1M 64k');
    interface Result {
      plan: { newEndOffset: number; claimedClusters: number; steps: { kind: string; reason: string }[] };
    }
    const args = ['create-from', '--allocated', '--into', join(folder, 'new.qcow2'), image];
    const planned = await bitmapToolJson<Result>(...args, '--dry-run');
    expect(await readdir(folder)).toEqual(['disk.qcow2']);
    expect(planned.plan.steps[0]).toMatchObject({ kind: 'write', reason: 'header' });
    const done = await bitmapToolJson<Result>(...args);
    expect(done.plan).toMatchObject({
      newEndOffset: planned.plan.newEndOffset,
      claimedClusters: planned.plan.claimedClusters,
    });
    expect((await bitmapTool(...args)).exitCode).toBe(4);
  });

  test('leaves a complete image or none if it is killed, and no temporary file if it is interrupted', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', image, '256M');
    await qemuIo(image, ...Array.from({ length: 32 }, (_, index) => `write -q ${index * 8}M 100k`));
    const args = [
      program,
      'create-from',
      '--allocated',
      '-g',
      '512',
      '--into',
      join(folder, 'new.qcow2'),
      image,
    ];
    const started = performance.now();
    await execa(process.execPath, args);
    const wholeMs = performance.now() - started;
    await execa('rm', [join(folder, 'new.qcow2')]);
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (let round = 0; round < 6; round++) {
        const child = execa(process.execPath, args, { reject: false });
        await sleep((wholeMs * (round + 0.5)) / 6);
        child.kill(signal);
        await child;
        const names = await readdir(folder);
        if (signal === 'SIGTERM') expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([]);
        if (names.includes('new.qcow2')) {
          expect(await qemuCheck(join(folder, 'new.qcow2'))).toMatchObject(CLEAN);
          expect(await qemuBitmaps(join(folder, 'new.qcow2'))).toHaveLength(1);
        }
        for (const name of names) if (name !== 'disk.qcow2') await execa('rm', [join(folder, name)]);
      }
    }
  });
});
