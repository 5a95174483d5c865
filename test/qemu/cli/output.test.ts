/** stdout and stderr contain only the result, are safe for a terminal, and may be pipes that close early. */
import { cp } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { overlayOnCheckpoint } from '../../support/overlay-on-checkpoint.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));

async function chainCopy(): Promise<string> {
  const folder = await scratchFolder();
  await cp(fileURLToPath(new URL('../../../fixtures/chain', import.meta.url)), folder, { recursive: true });
  return join(folder, 'overlay.qcow2');
}

test('--quiet prints nothing on success', async () => {
  const image = await chainCopy();
  for (const args of [
    ['create-from', '--allocated', image],
    ['list', image],
    ['map', image],
    ['dump', image, 'checkpoint-2026-11-01'],
    ['remove', image, 'checkpoint-2026-11-01'],
  ]) {
    expect(await bitmapTool(...args, '--quiet')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
  }
});

test('--json prints one document, and every command accepts --no-progress and colour options', async () => {
  const image = await chainCopy();
  const options = ['--json', '--no-progress', '--no-color'];
  const created = await bitmapTool('create-from', '--allocated', image, ...options);
  expect(created.json).toMatchObject({
    schema: 1,
    dryRun: false,
    bitmaps: [{ action: 'created', enabled: true }],
  });
  for (const args of [
    ['list', '--chain', image],
    ['map', image],
    ['dump', image, '#ALLOCATED'],
  ]) {
    expect((await bitmapTool(...args, ...options)).json).toBeDefined();
  }
});

test('a reader may close the pipe early without a failure', async () => {
  const folder = await scratchFolder();
  const image = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', image, '4M');
  await qemuIo(image, ...Array.from({ length: 2000 }, (_, index) => `write -q ${index * 2}k 512`));
  for (const command of [`map --json '${image}'`, `map '${image}'`, `dump '${image}' '#ALLOCATED'`]) {
    const shell = `set -o pipefail; '${process.execPath}' '${program}' ${command} | head -n 1`;
    const { exitCode, stderr } = await execa('bash', ['-c', shell], { reject: false });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  }
});

test('warnings that cannot be written do not stop a command', async () => {
  const { overlay } = await overlayOnCheckpoint();
  await qemuIo(overlay, 'write -q 0 1M');
  const run = async (command: string) => {
    const shell = `exec '${process.execPath}' '${program}' ${command}`;
    return (await execa('bash', ['-c', shell], { reject: false })).exitCode;
  };
  expect(await run(`create-from --allocated '${overlay}' 2>/dev/full`)).toBe(0);
  expect((await bitmapToolJson<{ bitmaps: unknown[] }>('list', overlay)).bitmaps).toHaveLength(1);
  // A pipe whose reader has gone: the last to open it for reading closed it again.
  const gone = join(dirname(overlay), 'gone');
  await execa('mkfifo', [gone]);
  expect(await run(`check -U '${overlay}' 3<>'${gone}' 4>'${gone}' 3<&- 2>&4`)).toBe(0);
  expect(await run(`list '${overlay}?' 2>/dev/full`)).toBe(1);
});

/** A pipe that gives EAGAIN instead of waiting, as one that a parent process made so for itself. */
const nonblocking = "perl -MFcntl -e 'fcntl(STDOUT, F_SETFL, O_NONBLOCK | O_WRONLY) or die; exec @ARGV'";

test.each(['', nonblocking])(
  'a slow reader gets a long result completely, and stderr is empty: %s',
  async (run) => {
    const image = join(await scratchFolder(), 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', image, '16M');
    const shell = `for ((i = 0; i < 16384; i++)); do echo $((i * 1024)) 512; done |
'${process.execPath}' '${program}' create-from -q --extents - -n x -g 512 '${image}' &&
${run} '${process.execPath}' '${program}' dump --json '${image}' x | (sleep 0.3; wc -l)`;
    const { stdout, stderr } = await execa('bash', ['-c', shell]);
    expect({ stdout, stderr }).toEqual({ stdout: '32768', stderr: '' });
  },
);

test('control characters in a name do not reach the terminal', async () => {
  const folder = await scratchFolder();
  const image = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
  await qemuImg('bitmap', '--add', image, 'red\u001b[31m\nline');
  const { stdout } = await bitmapTool('list', image);
  expect(stdout).toContain('red\\x1b[31m\\x0aline');
  expect(stdout).not.toContain('\u001b');
  const { stderr } = await bitmapTool('create-from', '--allocated', '--name', 'red\u001b[31m\nline', image);
  expect(stderr).not.toContain('\u001b');
  expect(stderr.split('\n')).toHaveLength(2);
});

test('control characters in a name are escaped in JSON on stdout and stderr, and the value is the same', async () => {
  const image = join(await scratchFolder(), 'disk.qcow2');
  const name = '\u009b31m\u202egnp.exe\u2066';
  await qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
  await qemuImg('bitmap', '--add', image, name);
  const listed = await bitmapTool('list', '--json', image);
  expect(listed.json).toMatchObject({ bitmaps: [{ name }] });
  const refused = await bitmapTool('add', '--json', image, name);
  expect(refused.error).toMatchObject({ code: 'BITMAP_EXISTS', message: expect.stringContaining(name) });
  const changed = await bitmapTool('clear', '--json', image, name);
  expect(changed.json).toMatchObject({ bitmaps: [name] });
  for (const text of [listed.stdout, refused.stderr, changed.stdout]) {
    expect(text).toContain('\\u009b31m\\u202egnp.exe\\u2066');
    expect(text).not.toMatch(/[\u0080-\u009f\u202e\u2066]/);
  }
});

test.each(['NO_COLOR', 'FORCE_COLOR'])('%s is respected', async (variable) => {
  const image = fileURLToPath(new URL('../../../fixtures/images/bitmap-in-use/disk.qcow2', import.meta.url));
  const { stdout } = await execa(process.execPath, [program, 'list', image], { env: { [variable]: '1' } });
  expect(stdout.includes('\u001b[')).toBe(variable === 'FORCE_COLOR');
});

test('the help of every command contains an example', async () => {
  const { stdout } = await bitmapTool('--help');
  for (const command of ['create-from', 'list', 'map', 'dump', 'remove']) {
    expect(stdout).toContain(`  ${command} `);
    const help = await bitmapTool(command, '--help');
    expect(help).toMatchObject({ exitCode: 0, stderr: '' });
    expect(help.stdout).toMatch(/Examples?:\n {2}bitmap-tool /);
  }
});
