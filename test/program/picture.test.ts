/** --picture draws the extents that the command lists, and never overwrites a file that is not a picture. */
import { chmod, cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { bitmapTool } from '../support/bitmap-tool.ts';
import { digest } from '../support/file-state.ts';
import { scratchFolder } from '../support/scratch.ts';
import { allElements, parseXml } from '../support/well-formed.ts';

async function chainCopy(): Promise<{ folder: string; image: string; base: string }> {
  const folder = await scratchFolder();
  await cp(fileURLToPath(new URL('../../fixtures/chain', import.meta.url)), folder, { recursive: true });
  return { folder, image: join(folder, 'overlay.qcow2'), base: join(folder, 'base.qcow2') };
}

const texts = (svg: string) => allElements(parseXml(svg)).map(({ text }) => text);

test('dump and map draw a picture of the extents that they list', async () => {
  const { folder, image, base } = await chainCopy();
  const file = join(folder, 'out.svg');
  const dumped = await bitmapTool('dump', base, 'checkpoint-2026-11-01', '--picture', file);
  expect(dumped).toMatchObject({ exitCode: 0, stderr: '' });
  expect(dumped.stdout).toContain('128 KiB of 64 MiB dirty');
  expect(dumped.stdout).toContain(`Drawn in ${file}`);
  expect(dumped.stdout.split('\n')).toHaveLength(2);
  expect(texts(await readFile(file, 'utf8'))).toContain(
    '64 MiB disk, 128 KiB dirty (0.2 %), granularity 64 KiB',
  );

  // The one before is replaced.
  expect(await bitmapTool('map', image, '--picture', file)).toMatchObject({
    exitCode: 0,
    stdout: `Drawn in ${file}`,
  });
  expect(texts(await readFile(file, 'utf8'))).toEqual(
    expect.arrayContaining(['top: overlay.qcow2', '1: base.qcow2']),
  );
  expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test('with --json the extents are printed as well, with --quiet they are not', async () => {
  const { folder, image, base } = await chainCopy();
  const file = join(folder, 'out.svg');
  for (const args of [
    ['map', image],
    ['dump', base, '#ALLOCATED'],
  ]) {
    const plain = await bitmapTool(...args, '--json');
    expect((await bitmapTool(...args, '--json', '--picture', file)).stdout).toBe(plain.stdout);
    expect(await bitmapTool(...args, '--quiet', '--picture', file)).toMatchObject({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
    parseXml(await readFile(file, 'utf8'));
  }
});

test('a file that is not a picture, such as an image, is not overwritten', async () => {
  const { folder, image, base } = await chainCopy();
  const before = await digest(image);
  for (const args of [
    ['map', image],
    ['dump', base, '#ALLOCATED'],
  ]) {
    const refused = await bitmapTool(...args, '--picture', image, '--json');
    expect(refused).toMatchObject({ exitCode: 2, error: { code: 'USAGE' } });
  }
  expect(await digest(image)).toBe(before);
  expect((await bitmapTool('map', image, '--picture', join(folder, 'none', 'x.svg'))).exitCode).toBe(1);
});

test('a failed command keeps the existing picture and leaves no other file', async () => {
  const { folder, image } = await chainCopy();
  const file = join(folder, 'out.svg');
  await writeFile(file, '<svg/>');
  await chmod(file, 0o644);
  expect((await bitmapTool('dump', image, 'no-such-bitmap', '--picture', file)).exitCode).toBe(4);
  expect(await readFile(file, 'utf8')).toBe('<svg/>');
  expect((await readdir(folder)).filter((name) => name.includes('tmp'))).toEqual([]);
});
