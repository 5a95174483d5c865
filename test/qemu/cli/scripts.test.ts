/** bitmap-tool in shell scripts: pipes, `set -e`, exit codes, names with any characters, and a closed stdout. */
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { digest } from '../../support/file-state.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));

/** A folder with base.qcow2, which has bitmap c1, and overlay.qcow2; bitmap-tool is in the PATH. */
async function workplace(): Promise<string> {
  const folder = await scratchFolder();
  const [base, overlay] = [join(folder, 'base.qcow2'), join(folder, 'overlay.qcow2')];
  await qemuImg('create', '-q', '-f', 'qcow2', base, '4M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await qemuIo(base, 'write -q 0 64k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', overlay);
  await qemuIo(overlay, 'write -q 1M 128k');
  await mkdir(join(folder, 'bin'));
  await symlink(program, join(folder, 'bin', 'bitmap-tool'));
  return folder;
}

interface Outcome {
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
}

async function shell(folder: string, script: string, name: 'sh' | 'bash' = 'bash'): Promise<Outcome> {
  const { exitCode, stdout, stderr } = await execa(name, ['-c', script], {
    cwd: folder,
    stdin: 'ignore',
    reject: false,
    env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}`, NO_COLOR: '1' },
  });
  return { exitCode, stdout, stderr };
}

const namesIn = async (folder: string, image = 'overlay.qcow2') =>
  (await qemuBitmaps(join(folder, image))).map(({ name }) => name);

/** Prints a value of the JSON document on stdin. */
const reader = (expression: string) =>
  `node -e 'const d = JSON.parse(require("fs").readFileSync(0, "utf8")); console.log(${expression})'`;

test('a script with set -e runs to its end if every command succeeds', async () => {
  const folder = await workplace();
  const outcome = await shell(
    folder,
    `set -e
bitmap-tool create-from --allocated --quiet overlay.qcow2
dirty=$(bitmap-tool list --json overlay.qcow2 | ${reader('d.bitmaps[0].dirtyBytes')})
[ "$dirty" -eq 131072 ]
bitmap-tool verify --quiet overlay.qcow2 c1 --against base.qcow2
bitmap-tool add --quiet overlay.qcow2 c2
bitmap-tool merge --quiet overlay.qcow2 c2 c1
bitmap-tool disable --quiet overlay.qcow2 c2
bitmap-tool remove --quiet overlay.qcow2 c1
echo "end $dirty"`,
    'sh',
  );
  expect(outcome).toEqual({ exitCode: 0, stdout: 'end 131072', stderr: '' });
  expect(await qemuBitmaps(join(folder, 'overlay.qcow2'))).toMatchObject([{ name: 'c2', flags: [] }]);
});

test('a script with set -e stops at the first refusal with its exit code', async () => {
  const folder = await workplace();
  const { exitCode, stdout, stderr } = await shell(
    folder,
    `set -e
bitmap-tool add -q overlay.qcow2 c1
bitmap-tool add -q overlay.qcow2 c1
echo unreached`,
    'sh',
  );
  expect({ exitCode, stdout }).toEqual({ exitCode: 4, stdout: '' });
  expect(stderr).toContain('a bitmap "c1" already exists');
  expect(await namesIn(folder)).toEqual(['c1']);
});

test.each([
  { what: 'done', script: 'bitmap-tool list overlay.qcow2', exitCode: 0 },
  { what: 'asked for help', script: 'bitmap-tool list --help', exitCode: 0 },
  { what: 'no such file', script: 'bitmap-tool list missing.qcow2', exitCode: 1 },
  { what: 'no command', script: 'bitmap-tool', exitCode: 2 },
  { what: 'an unknown command', script: 'bitmap-tool lsit overlay.qcow2', exitCode: 2 },
  { what: 'an unknown option', script: 'bitmap-tool list --al overlay.qcow2', exitCode: 2 },
  { what: 'no image', script: 'bitmap-tool list', exitCode: 2 },
  { what: 'too many words', script: 'bitmap-tool list overlay.qcow2 base.qcow2', exitCode: 2 },
  {
    what: 'a difference',
    script: 'bitmap-tool add -q overlay.qcow2 c1 && bitmap-tool verify overlay.qcow2 c1 --against base.qcow2',
    prepare: 'qemu-io -c "write -q -P 7 3M 1k" overlay.qcow2',
    exitCode: 3,
  },
  { what: 'a refusal', script: 'bitmap-tool remove overlay.qcow2 missing', exitCode: 4 },
  {
    what: 'an image in use',
    script: `mkfifo pipe; qemu-io overlay.qcow2 <pipe >started & exec 3>pipe; until [ -s started ]; do sleep 0.01; done
bitmap-tool list overlay.qcow2; code=$?; exec 3>&-; wait; exit $code`,
    exitCode: 5,
  },
])('the exit code for $what is $exitCode', async ({ prepare = ':', script, exitCode }) => {
  const folder = await workplace();
  const outcome = await shell(folder, `${prepare} && { ${script}\n}`);
  expect(outcome.exitCode, outcome.stderr).toBe(exitCode);
  expect(outcome.stderr === '').toBe(exitCode === 0 || exitCode === 3);
  expect(outcome.stderr).not.toContain('    at ');
});

test('the map of another image becomes a bitmap through a pipe', async () => {
  const folder = await workplace();
  const outcome = await shell(
    folder,
    `set -euo pipefail
qemu-img map --output=json overlay.qcow2 | bitmap-tool create-from -q --extents - -n both -g 64k overlay.qcow2
bitmap-tool dump --json overlay.qcow2 both | bitmap-tool create-from -q --extents - -n copy -g 4k overlay.qcow2
for name in both copy; do
  bitmap-tool dump --json overlay.qcow2 $name | ${reader('d.filter((e) => e.type).map((e) => [e.offset, e.length]).join(" ")')}
done`,
  );
  const line = '0,65536 1048576,131072';
  expect(outcome).toEqual({ exitCode: 0, stdout: `${line}\n${line}`, stderr: '' });
});

test('a truncated list does not become a bitmap', async () => {
  const folder = await workplace();
  const before = await digest(join(folder, 'overlay.qcow2'));
  const { exitCode } = await shell(
    folder,
    'qemu-img map --output=json overlay.qcow2 | head -c 100 | bitmap-tool create-from --extents - -n x overlay.qcow2',
  );
  expect(exitCode).toBe(2);
  expect(await digest(join(folder, 'overlay.qcow2'))).toBe(before);
});

test('names with any characters can be used in a loop', async () => {
  const folder = await workplace();
  const names = ['-x', 'a  b', '$(touch pwned)', "it's", '*', 'é'];
  const script = `set -eu
bitmap-tool add -q -- overlay.qcow2 "$@"
bitmap-tool list --json overlay.qcow2 | ${reader('d.bitmaps.map((b) => b.name).join("\\n")')} > names
while IFS= read -r name; do
  bitmap-tool dump -q -- overlay.qcow2 "$name"
  bitmap-tool remove --json -- overlay.qcow2 "$name" </dev/null | ${reader('d.bitmaps[0]')}
done < names
ls`;
  const outcome = await execa('sh', ['-c', script, 'sh', ...names], {
    cwd: folder,
    env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}` },
  });
  const files = ['base.qcow2', 'bin', 'names', 'overlay.qcow2'];
  expect(outcome.stdout.split('\n')).toEqual([...names, ...files]);
  expect(await namesIn(folder)).toEqual([]);
});

test('a JSON document is complete, however long it is', async () => {
  const folder = await workplace();
  const extents = Array.from({ length: 4096 }, (_, index) => `${index * 1024} 512`).join('\n');
  const { stdout } = await execa(
    'bash',
    [
      '-c',
      `bitmap-tool create-from -q --extents - -n x -g 512 overlay.qcow2 &&
bitmap-tool dump --json overlay.qcow2 x | (sleep 0.3; ${reader('d.length')})`,
    ],
    { cwd: folder, input: extents, env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}` } },
  );
  expect(stdout).toBe('8192');
});

test.each(['>&-', '| true', '| head -c 1'])(
  'a change is made even if nobody reads its report: %s',
  async (end) => {
    const folder = await workplace();
    const script = `bitmap-tool create-from --allocated overlay.qcow2 ${end}; echo "\${PIPESTATUS[0]}" >status`;
    const { stderr } = await shell(folder, script);
    expect(stderr).toBe('');
    expect((await readFile(join(folder, 'status'), 'utf8')).trim()).toBe('0');
    expect(await namesIn(folder)).toEqual(['c1']);
    expect(await qemuCheck(join(folder, 'overlay.qcow2'))).toMatchObject({ errors: 0, leaks: 0 });
  },
);

test('a result that cannot be written causes exit code 1', async () => {
  const folder = await workplace();
  const results = ['list overlay.qcow2', 'map --json overlay.qcow2', 'add overlay.qcow2 x'];
  const shown = ['--version', '-V', '--help', 'list --help', 'help list', 'bitmap --help'];
  for (const command of [...results, ...shown]) {
    const { exitCode, stderr } = await shell(folder, `bitmap-tool ${command} >/dev/full`);
    expect(exitCode, command).toBe(1);
    expect(stderr).toContain('no space left');
  }
  expect(await namesIn(folder)).toEqual(['x']);
});

test.each(['--version', '--help', 'list --help'])(
  'nobody needs to read the output of %s',
  async (command) => {
    const folder = await workplace();
    const script = `bitmap-tool ${command} | true; exit "\${PIPESTATUS[0]}"`;
    expect(await shell(folder, script)).toMatchObject({ exitCode: 0, stderr: '' });
  },
);

test('the completion script loads in a shell with strict options', async () => {
  const folder = await workplace();
  const script = `set -euo pipefail
source <(bitmap-tool completion bash)
complete -p bitmap-tool
COMP_WORDS=(bitmap-tool create-from --if-exists r)
COMP_CWORD=3
_bitmap_tool
echo "\${COMPREPLY[@]}"`;
  const outcome = await shell(folder, script);
  expect(outcome).toEqual({
    exitCode: 0,
    stdout: 'complete -F _bitmap_tool bitmap-tool\nreplace',
    stderr: '',
  });
});

test('commands on different images can run concurrently', async () => {
  const folder = await workplace();
  const outcome = await shell(
    folder,
    `for i in 1 2 3 4; do
  cp base.qcow2 copy$i.qcow2
  bitmap-tool add -q copy$i.qcow2 "own $i" & pids="\${pids-} $!"
done
for pid in $pids; do wait $pid || exit; done`,
    'sh',
  );
  expect(outcome).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  for (const index of [1, 2, 3, 4])
    expect(await namesIn(folder, `copy${index}.qcow2`)).toEqual(['c1', `own ${index}`]);
});
