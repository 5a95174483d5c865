/** Images that a running QEMU has open are refused with exit code 5 and its name, and can be read with --force-share. */
import { expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { holdOpen } from '../../support/hold-open.ts';
import { overlayOnCheckpoint } from '../../support/overlay-on-checkpoint.ts';
import { qemuBitmaps, qemuImg } from '../../support/qemu.ts';

const WRITING = [
  ['create-from', '--allocated'],
  ['create-from', '--allocated', '--name', 'c2'],
];

test.each([...WRITING, ['list'], ['map'], ['dump']])(
  'refuses an image that is open for writing: %s %s %s',
  async (...args) => {
    const { overlay } = await overlayOnCheckpoint();
    const pid = await holdOpen(overlay);
    const words = args.filter((word) => word !== undefined);
    const rest = words[0] === 'dump' ? [overlay, '#ALLOCATED'] : [overlay];
    const { exitCode, stdout, stderr } = await bitmapTool(...words, ...rest);
    expect({ exitCode, stdout }).toEqual({ exitCode: 5, stdout: '' });
    expect(stderr).toContain(`${overlay}: in use: qemu-io (pid ${pid}) holds it for writing`);
    if (words[0] === 'create-from') return;
    const shared = await bitmapTool(...words, ...rest, '--force-share');
    expect(shared.exitCode).toBe(0);
    expect(shared.stderr).toContain('stale');
  },
);

test('an image open for reading may be read but not changed', async () => {
  const { overlay } = await overlayOnCheckpoint();
  await holdOpen(overlay, '-r');
  expect((await bitmapTool('list', overlay)).exitCode).toBe(0);
  expect((await bitmapTool('create-from', '--allocated', overlay)).exitCode).toBe(5);
  expect(await qemuBitmaps(overlay)).toEqual([]);
});

test('a base that is being written is refused only if the result depends on it', async () => {
  const { base, overlay } = await overlayOnCheckpoint();
  const pid = await holdOpen(base);
  const inherited = await bitmapTool('create-from', '--allocated', '--json', overlay);
  expect(inherited.exitCode).toBe(5);
  expect(inherited.error).toMatchObject({
    code: 'IMAGE_IN_USE',
    file: base,
    holders: [`qemu-io (pid ${pid})`],
  });
  expect((await bitmapTool('create-from', '--allocated', '--name', 'own', overlay)).exitCode).toBe(0);
});

test('a base below another running overlay can be read', async () => {
  const { base, overlay } = await overlayOnCheckpoint();
  const other = `${overlay}.other`;
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', other);
  await holdOpen(other);
  expect((await bitmapTool('create-from', '--allocated', overlay)).exitCode).toBe(0);
});

test('--no-lock ignores other programs', async () => {
  const { overlay } = await overlayOnCheckpoint();
  await holdOpen(overlay, '-r');
  expect((await bitmapTool('create-from', '--allocated', '--no-lock', overlay)).exitCode).toBe(0);
});

test('of two concurrent changes, one is made and the other is refused or made afterwards', async () => {
  const { overlay } = await overlayOnCheckpoint();
  const results = await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      bitmapTool('create-from', '--allocated', '--name', `n${index}`, overlay),
    ),
  );
  const made = results.flatMap(({ exitCode }, index) => (exitCode === 0 ? [`n${index}`] : []));
  expect(results.filter(({ exitCode }) => exitCode !== 0 && exitCode !== 5)).toEqual([]);
  expect((await qemuBitmaps(overlay)).map(({ name }) => name).sort()).toEqual(made);
});
