/** libvirt's QEMU driver inside one virsh process without a daemon. The process stays open, because its start takes seconds. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { howToInstall } from '../../support/external-program.ts';

export interface Answer {
  ok: boolean;
  /** What virsh printed, errors included. */
  output: string;
}

export interface Virsh {
  /** Where the driver keeps what it knows and runs. */
  readonly root: string;
  /** Where the number of the process of a running machine stands. */
  pidFile(machine: string): string;
  /** Runs one command to its end, whatever it says. */
  attempt(...words: string[]): Promise<Answer>;
  /** Runs one command that must succeed, and returns what it printed. */
  run(...words: string[]): Promise<string>;
  /** Ends virsh and every machine that it runs, and removes what they left. */
  close(): Promise<void>;
}

const COMMAND_TIMEOUT_MS = 60_000;

/** For qemu.conf: without what needs a daemon or the rights of an installed libvirt. */
const CONFIGURATION = `
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
`;

/** Run by root, libvirt would give the images to another account. */
const CONFIGURATION_OF_ROOT = `
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
`;

/**
 * Runs a program as its child, and takes note of the end of every machine at once. libvirt waits for that, and the
 * init process of some containers needs seconds. (prctl(2): be the reaper of orphans; end the child with oneself.)
 */
const REAPER = `
  my ($prctl, $set_death_signal, $set_child_subreaper) = (157, 1, 36);
  syscall($prctl, $set_child_subreaper, 1, 0, 0, 0);
  my $child = fork // die $!;
  if ($child == 0) {
    syscall($prctl, $set_death_signal, 9, 0, 0, 0);
    open STDERR, '>&', STDOUT;
    exec @ARGV or exit 127;
  }
  while ((my $ended = wait) > 0) { exit $? >> 8 if $ended == $child }
`;

/** @param root a separate folder, which may be missing; its path must be short because of its sockets */
export async function newVirsh(root: string): Promise<Virsh> {
  await mkdir(join(root, 'etc'), { recursive: true });
  const configuration = CONFIGURATION + (process.getuid?.() === 0 ? CONFIGURATION_OF_ROOT : '');
  await writeFile(join(root, 'etc', 'qemu.conf'), configuration);
  const child = spawn('perl', ['-e', REAPER, 'virsh', '-q', '-c', `qemu:///embed?root=${root}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, LC_ALL: 'C', LIBVIRT_LOG_OUTPUTS: `3:file:${join(root, 'libvirt.log')}` },
  });
  const ask = conversation(child);
  // Before it answers at all it looks at QEMU.
  await ask(['echo', 'ready']);

  const attempt = async (...words: string[]): Promise<Answer> => {
    const output = await ask(words);
    return { ok: !/^error: /m.test(output), output };
  };
  return {
    root,
    pidFile: (machine) => join(root, 'run', 'qemu', `${machine}.pid`),
    attempt,
    async run(...words) {
      const { ok, output } = await attempt(...words);
      if (!ok) throw new Error(`virsh ${words.join(' ')}:\n${output}`);
      return output;
    },
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await ended;
      }
      await killMachines(root);
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** Sends commands one after the other, each followed by an echo that marks the end of its output. */
function conversation(child: ChildProcess): (words: readonly string[]) => Promise<string> {
  let received = '';
  let wake: () => void = () => {};
  let end: string | undefined;
  let asked = 0;
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    received += text;
    wake();
  });
  child.on('error', ({ message }) => {
    end = message;
    wake();
  });
  child.on('exit', (code, signal) => {
    const cause = `virsh ended by ${signal ?? `exit code ${code}`}; did "npm run setup:debian" run?`;
    end = code === 127 ? howToInstall('virsh') : cause;
    wake();
  });
  child.stdin!.on('error', () => {});

  return async (words) => {
    const token = `--end-of-${++asked}--`;
    const command = words.map(quoted).join(' ');
    received = '';
    child.stdin!.write(`${command}\necho -- ${token}\n`);
    const timer = setTimeout(() => {
      end = `no answer to "${command}" within ${COMMAND_TIMEOUT_MS / 1000} s`;
      wake();
    }, COMMAND_TIMEOUT_MS);
    try {
      // The echo's own line, not the prompt that repeats the command.
      while (!`\n${received}`.includes(`\n${token}`)) {
        if (end !== undefined) throw new Error(`${end}\n${received}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
    // Between the two commands, which virsh repeats.
    return received.slice(received.indexOf('\n') + 1, received.indexOf(`virsh # echo -- ${token}`)).trim();
  };
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** QEMU runs on when virsh is gone. */
async function killMachines(root: string): Promise<void> {
  const folder = join(root, 'run', 'qemu');
  const files = await readdir(folder).catch(() => []);
  for (const file of files.filter((name) => name.endsWith('.pid') && name !== 'driver.pid'))
    await killByPidFile(join(folder, file));
}

/** As a crash ends it, and waits until it is gone and its locks with it. */
export async function killByPidFile(file: string): Promise<void> {
  const pid = Number(await readFile(file, 'utf8').catch(() => Number.NaN));
  if (!Number.isInteger(pid)) return;
  // The number may belong to another process by now.
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (!commandLine.includes('qemu-system')) return;
  process.kill(pid, 'SIGKILL');
  while (await isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // Until its parent waits for it, it is a zombie, which holds nothing.
  return status !== '' && !/\) [ZX] /.test(status);
}
