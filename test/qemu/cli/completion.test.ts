/** Completion as the shells do it, and every command and option in the scripts for all shells. */
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
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

/** Completes a line in an interactive zsh, which finds the script in a folder of fpath. */
async function completedByZsh(folder: string, line: string): Promise<string> {
  const { stdout: script } = await bitmapTool('completion', 'zsh');
  await writeFile(join(folder, '_bitmap-tool'), script);
  await writeFile(
    join(folder, '.zshrc'),
    `fpath=("$ZDOTDIR" $fpath)
autoload -Uz compinit
compinit -u -D
zle-line-init() {
  BUFFER=$TYPED CURSOR=$#TYPED
  zle complete-word
  print -rn -- "$BUFFER" >completed
  BUFFER=exit
  zle .accept-line
}
zle -N zle-line-init
`,
  );
  // zsh completes on a terminal only.
  await runIn(folder, 'script', ['-qec', 'zsh -i', '/dev/null'], { ZDOTDIR: folder, TYPED: line });
  return (await readFile(join(folder, 'completed'), 'utf8')).trimEnd();
}

/**
 * Completes a line in fish, whose only candidate that begins with the last word must complete it. fish prefers such
 * candidates to those that only contain the letters of the word; version 4 prints both.
 */
async function completedByFish(folder: string, line: string): Promise<string> {
  const script = 'bitmap-tool completion fish | source; complete --escape --do-complete $argv[1]';
  const candidates = await runIn(folder, 'fish', ['--no-config', '-c', script, line]);
  const [, before, typed] = /^(.* )(.*)$/.exec(line)!;
  const words = candidates.split('\n').map((candidate) => candidate.split('\t')[0]!);
  return before + words.filter((word) => word.startsWith(typed!)).join('\n');
}

/** What bash offers for the last of the words. */
async function offered(folder: string, ...words: string[]): Promise<string[]> {
  const stdout = await runIn(folder, 'bash', ['complete.sh', 'bitmap-tool', ...words]);
  return stdout.split('\n').filter((line) => line !== '');
}

/** What a shell prints in a workplace. */
async function runIn(
  folder: string,
  shell: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { stdout, stderr } = await execa(shell, args, {
    cwd: folder,
    stdin: 'ignore',
    env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}`, ...env },
  });
  expect(stderr).toBe('');
  return stdout;
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

const BITMAP = 'checkpoint-2026-11-01';

describe.each([
  { shell: 'zsh', complete: completedByZsh },
  { shell: 'fish', complete: completedByFish },
])('$shell', ({ complete }) => {
  test.each([
    ['command', 'cre', 'create-from'],
    ['option', 'list --ch', '--chain'],
    ['choice of an option', 'create-from --if-exists re', 'replace'],
    ['choice of an argument', 'completion z', 'zsh'],
    ['file', 'list over', 'overlay.qcow2'],
    ['bitmap', 'remove base.qcow2 checkp', BITMAP],
    ['bitmap that --from names', 'create-from --from base.qcow2 --bitmap check', BITMAP],
    ['word for the allocation', 'dump base.qcow2 \\#A', '\\#ALLOCATED'],
  ])('completes a %s', async (_, typed, word) => {
    const folder = await workplace();
    const line = `bitmap-tool ${typed}`;
    expect(await complete(folder, line)).toBe(`${line.slice(0, line.lastIndexOf(' '))} ${word}`);
  });

  test('quotes the name of a bitmap and runs nothing that it says', async () => {
    const folder = await workplace();
    const line = 'bitmap-tool remove base.qcow2 ';
    expect(await complete(folder, `${line}\\$`)).toBe(`${line}\\$\\(touch\\ pwned\\)\\ x`);
    expect(await readdir(folder)).not.toContain('pwned');
  });
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
