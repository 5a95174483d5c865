/** A picture replaces a picture or an empty file, and no other file. */
import { cp, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openPictureFile } from '../../../src/cli/picture-file.ts';
import { scratchFolder } from '../../support/scratch.ts';

const image = fileURLToPath(new URL('../../../fixtures/chain/overlay.qcow2', import.meta.url));

describe('a picture', () => {
  test.each([
    ['an empty file', ''],
    ['a picture', '<svg/>'],
    ['a picture with a declaration and comments', '<?xml version="1.0"?>\n<!-- a -->\n<!-- b --><svg >'],
  ])('replaces %s', async (_, content) => {
    const folder = await scratchFolder();
    const file = join(folder, 'out.svg');
    await writeFile(file, content);
    await (await openPictureFile(file)).write('<svg>new</svg>');
    expect(await readFile(file, 'utf8')).toBe('<svg>new</svg>');
    expect(await readdir(folder)).toEqual(['out.svg']);
  });

  test.each([
    ['an image', (path: string) => cp(image, path)],
    ['a link to an image', (path: string) => symlink(image, path)],
    ['the start of a picture behind other text', (path: string) => writeFile(path, 'text <svg/>')],
    // What a guest can write to the start of its disk.
    [
      'a raw disk',
      (path: string) => writeFile(path, Buffer.concat([Buffer.from('<svg '), new Uint8Array(2 ** 20)])),
    ],
  ])('does not overwrite %s', async (_, make) => {
    const file = join(await scratchFolder(), 'disk');
    await make(file);
    const before = await readFile(file);
    await expect(openPictureFile(file)).rejects.toMatchObject({ code: 'USAGE' });
    expect(before.equals(await readFile(file))).toBe(true);
  });

  test('does not overwrite an image that was made in its place during the work', async () => {
    const folder = await scratchFolder();
    const file = join(folder, 'out.svg');
    const picture = await openPictureFile(file);
    await cp(image, file);
    await expect(picture.write('<svg/>')).rejects.toMatchObject({ code: 'USAGE' });
    expect(await readdir(folder)).toEqual(['out.svg']);
    expect((await readFile(image)).equals(await readFile(file))).toBe(true);
  });

  test('does not replace a folder or a device', async () => {
    for (const file of [await scratchFolder(), '/dev/null'])
      await expect(openPictureFile(file)).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('needs a folder that exists', async () => {
    const file = join(await scratchFolder(), 'none', 'out.svg');
    await expect(openPictureFile(file)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});
