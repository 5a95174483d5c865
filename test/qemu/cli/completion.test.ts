/**
 * Completion, as bash does it; and every command and option in the scripts for all shells.
 */
import { cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const ODD_NAMES = ["it's", '$(touch pwned) x', '`touch pwned`'];

/** A folder with an image, and bitmap-tool in the PATH. */
async function workplace(): Promise<string> {
  const folder = await scratchFolder();
  await cp(fileURLToPath(new URL('../../../fixtures/chain', import.meta.url)), folder, { recursive: true });
  for (const name of ODD_NAMES) await qemuImg('bitmap', '--add', join(folder, 'base.qcow2'), name);
  await mkdir(join(folder, 'bin'));
  await symlink(program, join(folder, 'bin', 'bitmap-tool'));
  await writeFile(
    join(folder, 'complete.sh'),
    `source <(bitmap-tool completion bash)
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_bitmap_tool
printf '%s\\n' "\${COMPREPLY[@]}"
`,
  );
  return folder;
}

/** What bash offers for the last of the words. */
async function offered(folder: string, ...words: string[]): Promise<string[]> {
  const { stdout, stderr } = await execa('bash', ['complete.sh', 'bitmap-tool', ...words], {
    cwd: folder,
    env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}` },
  });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((line) => line !== '');
}

test('bash completes commands, options, choices and files', async () => {
  const folder = await workplace();
  expect(await offered(folder, '')).toEqual(expect.arrayContaining(['create-from', 'list', 'completion']));
  expect(await offered(folder, 'me')).toEqual(expect.arrayContaining(['merge']));
  expect(await offered(folder, 'dump', '--pi')).toEqual(['--picture']);
  expect(await offered(folder, 'create-from', '--if-exists', '')).toEqual(['fail', 'merge', 'replace']);
  expect(await offered(folder, 'create-from', '--if-exists', '=', 'm')).toEqual(['merge']);
  expect(await offered(folder, 'list', 'over')).toEqual(['overlay.qcow2']);
  expect(await offered(folder, 'completion', '')).toEqual(['bash', 'zsh', 'fish']);
  expect(await offered(folder, 'bitmap', '--me')).toEqual(['--merge']);
  expect(await offered(folder, 'bitmap', '--add', '-b', 'over')).toEqual(['overlay.qcow2']);
});

test('bash completes names of bitmaps, quotes them, and runs nothing in them', async () => {
  const folder = await workplace();
  const quoted = ["it\\'s", '\\$\\(touch\\ pwned\\)\\ x', '\\`touch\\ pwned\\`'];
  const all = ['checkpoint-2026-11-01', ...quoted];
  expect((await offered(folder, 'remove', 'base.qcow2', '')).sort()).toEqual(all.sort());
  expect(await offered(folder, 'dump', '--picture', 'x.svg', 'base.qcow2', 'it')).toEqual(["it\\'s"]);
  expect(await offered(folder, 'dump', 'base.qcow2', '#')).toEqual(['\\#ALLOCATED']);
  expect(await offered(folder, 'remove', 'base.qcow2', '#')).toEqual([]);
  expect((await offered(folder, 'bitmap', '--clear', 'base.qcow2', '')).sort()).toEqual(all.sort());
  expect(await offered(folder, 'bitmap', 'base.qcow2', 'new', '--merge', '#')).toEqual(['\\#ALLOCATED']);
  expect(await offered(folder, 'create-from', '--from', 'base.qcow2', '--bitmap', 'c')).toEqual([
    'checkpoint-2026-11-01',
  ]);
  expect(await readdir(folder)).not.toContain('pwned');
});

test.each(['bash', 'zsh', 'fish'])('the script for %s contains every command and option', async (shell) => {
  const { exitCode, stdout: script } = await bitmapTool('completion', shell);
  expect(exitCode).toBe(0);
  const { stdout: help } = await bitmapTool('--help');
  const list = help.slice(help.indexOf('Commands:'));
  const commands = Array.from(list.matchAll(/^ {2}([a-z][a-z-]*) /gm), ([, name]) => name!);
  expect(commands).toContain('create-from');
  for (const command of commands.filter((name) => name !== 'help' && name !== 'bitmap-tool')) {
    expect(script).toContain(command);
    const own = (await bitmapTool(command, '--help')).stdout;
    for (const [, option] of own.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm))
      expect(script).toContain(shell === 'fish' ? `-l '${option!.slice(2)}'` : option);
  }
});

test('another shell is a usage error', async () => {
  expect((await bitmapTool('completion', 'csh')).exitCode).toBe(2);
  expect((await bitmapTool('completion')).exitCode).toBe(2);
});
