/**
 * Every refusal has its exit code, its code in JSON, one line with the file and the finding, one line with the remedy, and no
 * written byte.
 */
import { cp, mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { digest } from '../../support/file-state.ts';
import { strangeOptions } from '../../support/hint-options.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const MIB = 2 ** 20;

interface Refusal {
  readonly rule: string;
  /** Makes the faulty image, and returns its name. */
  readonly make: (folder: string) => Promise<string>;
  readonly args?: (image: string) => string[];
  readonly exitCode: number;
  readonly code: string;
  /** In the message. */
  readonly says: RegExp;
  /** In the hint. */
  readonly hint?: RegExp;
}

const createFrom = (image: string, ...more: string[]) => ['create-from', '--allocated', ...more, image];

function fixture(name: string) {
  return async (folder: string) => {
    await cp(fileURLToPath(new URL(`../../../fixtures/images/${name}`, import.meta.url)), folder, {
      recursive: true,
    });
    return join(folder, 'disk.qcow2');
  };
}

async function plainImage(folder: string, ...options: string[]): Promise<string> {
  const path = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', ...options, path, '1M');
  await qemuIo(path, 'write -P 7 0 1M');
  return path;
}

/** An image with `bytes` written over it at `offset`. */
function edited(offset: number, bytes: readonly number[]) {
  return async (folder: string) => {
    const path = await plainImage(folder);
    const file = await open(path, 'r+');
    await file.write(Uint8Array.from(bytes), 0, bytes.length, offset);
    await file.close();
    return path;
  };
}

async function withBitmap(folder: string): Promise<string> {
  const path = await plainImage(folder);
  await qemuImg('bitmap', '--add', '-g', '64k', path, 'there');
  return path;
}

async function chainOf(folder: string, ...backing: string[]): Promise<string> {
  const path = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', backing[0]!, path, '1M');
  for (const [index, name] of backing.entries()) {
    const next = backing[index + 1];
    if (next === undefined) break;
    await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', next, join(folder, name), '1M');
  }
  return path;
}

const refusals: readonly Refusal[] = [
  {
    rule: 'a version 2 image',
    make: (folder) => plainImage(folder, '-o', 'compat=0.10'),
    exitCode: 4,
    code: 'UNSUPPORTED',
    says: /version 2/,
    hint: /qemu-img amend -o compat=1\.1/,
  },
  {
    rule: 'an image marked corrupt',
    make: fixture('marked-corrupt'),
    exitCode: 4,
    code: 'NEEDS_CHECK',
    says: /marked corrupt/,
    hint: /qemu-img check -r all/,
  },
  {
    rule: 'an image with stale refcounts (dirty bit)',
    make: fixture('lazy-refcounts-killed'),
    exitCode: 4,
    code: 'NEEDS_CHECK',
    says: /marked dirty/,
    hint: /qemu-img check -r all/,
  },
  {
    rule: 'unknown incompatible features, with the names that the image gives',
    make: edited(72, [0x80, 0, 0, 0, 0, 0, 0, 0x20]),
    exitCode: 4,
    code: 'UNSUPPORTED',
    says: /unknown incompatible features: bit 5, bit 63/,
    hint: /software that made/,
  },
  {
    rule: 'bitmaps that other software has made outdated',
    make: fixture('bitmap-autoclear-cleared'),
    exitCode: 4,
    code: 'BITMAP_INCONSISTENT',
    says: /its bitmaps are not valid/,
    hint: /qemu-img check -r leaks/,
  },
  {
    rule: 'a missing backing file',
    make: (folder) => chainOf(folder, 'gone.qcow2'),
    exitCode: 4,
    code: 'BROKEN_CHAIN',
    says: /disk\.qcow2: its backing file cannot be opened: .*gone\.qcow2: no such file/,
    hint: /qemu-img rebase/,
  },
  {
    rule: 'a chain that returns to its top',
    make: (folder) => chainOf(folder, 'middle.qcow2', 'disk.qcow2'),
    exitCode: 4,
    code: 'BROKEN_CHAIN',
    says: /the chain loops/,
  },
  {
    rule: 'an image that is its own backing file',
    make: (folder) => chainOf(folder, 'disk.qcow2'),
    exitCode: 4,
    code: 'BROKEN_CHAIN',
    says: /this image itself: the chain loops/,
  },
  {
    rule: 'a backing file that is not local',
    make: async (folder) => {
      const path = join(folder, 'disk.qcow2');
      await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-F', 'raw', '-b', 'nbd://host/disk', path, '1M');
      return path;
    },
    exitCode: 4,
    code: 'UNSUPPORTED',
    says: /the protocol "nbd"/,
  },
  {
    rule: 'a file that is truncated inside its tables',
    make: async (folder) => {
      const path = await plainImage(folder);
      await truncate(path, 0x30000);
      return path;
    },
    exitCode: 4,
    code: 'INVALID_IMAGE',
    says: /the active L1 table at 0x30000 \(\d+ bytes\) reaches beyond the end of the file at 0x30000/,
    hint: /complete copy/,
  },
  {
    rule: 'an L2 table beyond the end of the file',
    make: edited(0x30000, [0x80, 0, 0, 0, 0x7f, 0, 0, 0]),
    exitCode: 4,
    code: 'INVALID_IMAGE',
    says: /L2 table 0 at 0x7f000000/,
  },
  {
    rule: 'an L2 entry beyond the end of the file',
    make: edited(0x40000, [0x80, 0, 0, 0, 0x7f, 0, 0, 0]),
    exitCode: 4,
    code: 'INVALID_IMAGE',
    says: /cluster of disk offset 0x0 at 0x7f000000/,
    hint: /complete copy/,
  },
  {
    rule: 'an L2 entry with reserved bits',
    make: edited(0x40000, [0x81]),
    exitCode: 4,
    code: 'INVALID_IMAGE',
    says: /reserved bits/,
    hint: /qemu-img check/,
  },
  {
    rule: 'a refcount block in the middle of guest data',
    make: edited(0x10000, [0, 0, 0, 0, 0, 6, 0, 0]),
    exitCode: 4,
    code: 'NEEDS_CHECK',
    says: /refcount block 0 at 0x60000 overlaps something else/,
    hint: /qemu-img check/,
  },
  {
    rule: 'a refcount block on the L1 table',
    make: edited(0x10000, [0, 0, 0, 0, 0, 3, 0, 0]),
    args: (image) => ['add', image, 'c1'],
    exitCode: 4,
    code: 'NEEDS_CHECK',
    says: /refcount block 0 at 0x30000 overlaps something else/,
  },
  {
    rule: 'a backing image with outdated bitmaps that would be inherited',
    make: async (folder) => {
      await fixture('bitmap-autoclear-cleared')(folder);
      const path = join(folder, 'overlay.qcow2');
      await qemuImg('create', '-q', '-f', 'qcow2', '-b', join(folder, 'disk.qcow2'), '-F', 'qcow2', path);
      return path;
    },
    exitCode: 4,
    code: 'BITMAP_INCONSISTENT',
    says: /no bitmaps to inherit: the bitmaps of its backing image .* are outdated/,
    hint: /--name/,
  },
  {
    rule: 'an empty list of extents, which a failed command leaves in a pipe',
    make: plainImage,
    args: (image) => ['create-from', '--extents', '/dev/null', '--name', 'x', image],
    exitCode: 2,
    code: 'USAGE',
    says: /not a list of extents: it is empty/,
  },
  {
    rule: 'a file too short for a header',
    make: async (folder) => {
      const path = await plainImage(folder);
      await truncate(path, 100);
      return `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: path } })}`;
    },
    exitCode: 4,
    code: 'INVALID_IMAGE',
    says: /100 bytes, too few/,
  },
  {
    rule: 'a raw image',
    make: async (folder) => {
      await writeFile(join(folder, 'disk.qcow2'), new Uint8Array(MIB));
      return join(folder, 'disk.qcow2');
    },
    exitCode: 4,
    code: 'UNSUPPORTED',
    says: /raw image cannot hold bitmaps/,
    hint: /qcow2 overlay/,
  },
  {
    rule: 'a format that would be read as raw',
    make: async (folder) => {
      const path = join(folder, 'disk.vmdk');
      await qemuImg('create', '-q', '-f', 'vmdk', path, '1M');
      return path;
    },
    exitCode: 4,
    code: 'UNSUPPORTED',
    says: /format "vmdk"/,
  },
  {
    rule: 'a bitmap that exists already',
    make: withBitmap,
    args: (image) => createFrom(image, '--name', 'there'),
    exitCode: 4,
    code: 'BITMAP_EXISTS',
    says: /a bitmap "there" already exists/,
    hint: /--if-exists/,
  },
  {
    rule: 'a merge into a bitmap of another granularity',
    make: withBitmap,
    args: (image) => createFrom(image, '--name', 'there', '--if-exists', 'merge', '-g', '4k'),
    exitCode: 2,
    code: 'USAGE',
    says: /granularity of 65536/,
  },
  {
    rule: 'a merge into a bitmap that is in use',
    make: fixture('bitmap-in-use'),
    args: (image) => createFrom(image, '--name', 'changes', '--if-exists', 'merge'),
    exitCode: 4,
    code: 'BITMAP_INCONSISTENT',
    says: /marked in-use/,
    hint: /--if-exists replace/,
  },
  {
    rule: 'the name of the pseudo-bitmap',
    make: plainImage,
    args: (image) => createFrom(image, '--name', '#ALLOCATED'),
    exitCode: 4,
    code: 'BITMAP_LIMIT',
    says: /"#ALLOCATED" is not a stored bitmap/,
  },
  {
    rule: 'a name of more than 1023 bytes',
    make: plainImage,
    args: (image) => createFrom(image, '--name', 'é'.repeat(512)),
    exitCode: 2,
    code: 'USAGE',
    says: /name of 1024 bytes/,
  },
  ...(['256', '4G', '96k'] as const).map(
    (granularity): Refusal => ({
      rule: `a granularity of ${granularity}`,
      make: plainImage,
      args: (image) => createFrom(image, '-g', granularity),
      exitCode: 2,
      code: 'USAGE',
      says: /power of two from 512 to 2G/,
    }),
  ),
  {
    rule: 'a granularity that is not a size',
    make: plainImage,
    args: (image) => createFrom(image, '-g', 'fine'),
    exitCode: 2,
    code: 'USAGE',
    says: /"fine" is not a size/,
  },
  {
    rule: 'a bitmap larger than QEMU stores',
    make: async (folder) => {
      const path = join(folder, 'disk.qcow2');
      await qemuImg('create', '-q', '-f', 'qcow2', path, '8T');
      return path;
    },
    args: (image) => createFrom(image, '-g', '512'),
    exitCode: 4,
    code: 'BITMAP_LIMIT',
    says: /takes 2147483648 bytes, QEMU allows 536870912/,
    hint: /--granularity 2048/,
  },
  {
    rule: 'a disk of no bytes',
    make: async (folder) => {
      const path = join(folder, 'disk.qcow2');
      await qemuImg('create', '-q', '-f', 'qcow2', path, '0');
      return path;
    },
    exitCode: 4,
    code: 'BITMAP_LIMIT',
    says: /disk of 0 bytes/,
  },
  {
    rule: 'a base that is not in the chain',
    make: plainImage,
    args: (image) => createFrom(image, '--above', '/dev/null'),
    exitCode: 2,
    code: 'USAGE',
    says: /not in the backing chain/,
  },
  {
    rule: 'the image itself as the base',
    make: plainImage,
    args: (image) => createFrom(image, '--above', image),
    exitCode: 2,
    code: 'USAGE',
    says: /the image itself/,
  },
  {
    rule: 'no source',
    make: plainImage,
    args: (image) => ['create-from', image],
    exitCode: 2,
    code: 'USAGE',
    says: /one source is needed, none was named/,
  },
  {
    rule: 'an option that does not exist',
    make: plainImage,
    args: (image) => createFrom(image, '--frobnicate'),
    exitCode: 2,
    code: 'USAGE',
    says: /unknown option/,
  },
  {
    rule: '--force-share for a change',
    make: plainImage,
    args: (image) => createFrom(image, '-U'),
    exitCode: 2,
    code: 'USAGE',
    says: /cannot be written/,
  },
  {
    rule: 'the removal of an existing and a missing bitmap',
    make: withBitmap,
    args: (image) => ['remove', image, 'there', 'elsewhere'],
    exitCode: 4,
    code: 'BITMAP_NOT_FOUND',
    says: /no bitmap "elsewhere"/,
    hint: /It has: there/,
  },
  {
    rule: 'a dump of a bitmap that is in use',
    make: fixture('bitmap-in-use'),
    args: (image) => ['dump', image, 'changes'],
    exitCode: 4,
    code: 'BITMAP_INCONSISTENT',
    says: /marked in-use/,
  },
  {
    rule: 'no such file',
    make: async (folder) => join(folder, 'none.qcow2'),
    exitCode: 1,
    code: 'FILE_NOT_FOUND',
    says: /none\.qcow2: no such file/,
  },
  {
    rule: 'a directory',
    make: async (folder) => {
      await mkdir(join(folder, 'images'));
      return join(folder, 'images');
    },
    exitCode: 1,
    code: 'NOT_A_FILE',
    says: /a directory, not an image/,
  },
  {
    rule: 'a FIFO, without waiting for its other end',
    make: async (folder) => {
      await execa('mkfifo', [join(folder, 'fifo')]);
      return join(folder, 'fifo');
    },
    exitCode: 1,
    code: 'NOT_A_FILE',
    says: /a FIFO, not an image/,
  },
];

describe('refuses, and writes nothing:', () => {
  test.each(refusals)('$rule', async ({ make, args = createFrom, exitCode, code, says, hint }) => {
    const folder = await scratchFolder();
    const image = await make(folder);
    const files = await digests(folder);

    const asText = await bitmapTool(...args(image));
    const [message, next, ...more] = asText.stderr.split('\n').filter((line) => !line.includes('warning:'));
    expect(asText.exitCode).toBe(exitCode);
    expect(asText.stdout).toBe('');
    expect(message).toMatch(/^bitmap-tool: /);
    expect(message).toMatch(says);
    if (hint !== undefined) expect(next).toMatch(hint);
    expect(more).toEqual([]);
    expect(await strangeOptions(next ?? '', args(image)[0]!)).toEqual([]);

    const asJson = await bitmapTool(...args(image), '--json');
    expect(asJson.exitCode).toBe(exitCode);
    expect(asJson.stdout).toBe('');
    expect(asJson.error?.code).toBe(code);
    expect(asJson.error?.message).toMatch(says);

    expect(await digests(folder)).toEqual(files);
  });
});

async function digests(folder: string): Promise<Record<string, string>> {
  const { readdir } = await import('node:fs/promises');
  const files = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isFile());
  const pairs = files.map(async ({ name }) => [name, await digest(join(folder, name))] as const);
  return Object.fromEntries(await Promise.all(pairs));
}

test('a command that does not need a layer works even if that layer cannot be opened', async () => {
  const folder = await scratchFolder();
  const image = await chainOf(folder, 'gone.qcow2');
  await qemuIo(
    `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: image }, backing: null })}`,
    'write 0 64k',
  );
  expect((await bitmapTool(...createFrom(image, '--name', 'mine'))).exitCode).toBe(0);
  expect((await bitmapTool('list', image)).exitCode).toBe(0);
  expect((await bitmapTool('map', '--layer', image)).exitCode).toBe(0);
  expect((await bitmapTool('map', image)).exitCode).toBe(4);
});
