/** The maximum number of bitmaps and the longest names. They work or are refused, in limited time. */
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuBitmaps, qemuCheck, qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const library = new URL('../../../dist/index.js', import.meta.url).href;

/** QCOW2_MAX_BITMAPS. */
const MOST_BITMAPS = 65_535;

/** The built library in a separate process, because the test runner makes sources slow. */
const SCRIPT = `
const library = await import(process.argv[1]);
const [image, overlay, count] = process.argv.slice(2);
const names = Array.from({ length: Number(count) }, (_, index) => 'bitmap-' + index);
await library.addBitmaps(image, names);
const { bitmaps } = await library.listBitmaps(image);
const oneMore = await library.addBitmaps(image, ['one-more']).catch(({ code, message }) => ({ code, message }));
await library.clearBitmaps(image, names);
const inherited = await library.createFrom(overlay, { kind: 'allocated' });
await library.removeBitmaps(image, names.slice(1));
await library.removeBitmaps(overlay, names.slice(100));
console.log(JSON.stringify({ listed: bitmaps.length, oneMore, inherited: inherited.bitmaps.length }));
`;

test('an image takes 65 535 bitmaps and refuses one more', async () => {
  const folder = await scratchFolder();
  const [image, overlay] = [join(folder, 'disk.qcow2'), join(folder, 'overlay.qcow2')];
  const cluster = ['-o', 'cluster_size=512'];
  await qemuImg('create', '-q', '-f', 'qcow2', ...cluster, image, '64k');
  await qemuImg('create', '-q', '-f', 'qcow2', ...cluster, '-b', image, '-F', 'qcow2', overlay);
  const args = ['--input-type=module', '-e', SCRIPT, library, image, overlay, String(MOST_BITMAPS)];
  const { stdout } = await execa(process.execPath, args);
  expect(JSON.parse(stdout)).toEqual({
    listed: MOST_BITMAPS,
    oneMore: { code: 'BITMAP_LIMIT', message: expect.stringMatching(/65536 bitmaps .* QEMU allows 65535/) },
    inherited: MOST_BITMAPS,
  });
  // QEMU itself needs minutes for so many.
  for (const [path, left] of [
    [image, 1],
    [overlay, 100],
  ] as const) {
    expect(await qemuBitmaps(path)).toHaveLength(left);
    expect(await qemuCheck(path)).toMatchObject({ exitCode: 0, leaks: 0, corruptions: 0, errors: 0 });
  }
}, 600_000);

test('bitmap names may have 1023 bytes, and longer ones are a usage error', async () => {
  const image = join(await scratchFolder(), 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
  const names = ['a', 'b'].map((letter) => letter.repeat(1023));
  expect((await bitmapTool('add', image, ...names)).exitCode).toBe(0);
  expect((await qemuBitmaps(image)).map(({ name }) => name)).toEqual(names);
  expect((await bitmapTool('merge', image, names[0]!, '#ALLOCATED', names[1]!)).exitCode).toBe(0);
  expect((await bitmapTool('add', image, 'c'.repeat(1024))).exitCode).toBe(2);
  expect((await bitmapTool('remove', image, ...names)).exitCode).toBe(0);
  expect(await qemuBitmaps(image)).toEqual([]);
});
