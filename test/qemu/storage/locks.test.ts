/** QEMU's own programs judge the locks, in both directions. Two openers of ours then compete. */
import { once } from 'node:events';
import { type FileHandle, link, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { InUseError } from '../../../src/errors.ts';
import { type LockRole, lockImage } from '../../../src/storage/locks.ts';
import { bundle } from './bundle.ts';

const PACKAGES = {
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-storage-daemon': 'qemu-system-common',
};
type Tool = keyof typeof PACKAGES;

let folder: string;
let image: string;
let running: Array<ReturnType<typeof spawn>> = [];
let handles: FileHandle[] = [];

beforeAll(async () => {
  for (const [tool, installedBy] of Object.entries(PACKAGES)) {
    const { failed } = await execa(tool, ['--version'], { reject: false });
    if (failed) throw new Error(`these tests need ${tool}: apt-get install ${installedBy}`);
  }
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bitmap-tool-locks-'));
  image = join(folder, 'disk.qcow2');
  await run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '1M');
});

afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  await Promise.all(running);
  await Promise.all(handles.map((handle) => handle.close()));
  running = [];
  handles = [];
  await rm(folder, { recursive: true, force: true });
});

describe('while qemu-nbd has the image open read-write', () => {
  let pid: number;
  beforeEach(async () => {
    pid = await serve(image);
  });

  test.each(['writer', 'reader'] as const)(
    'a %s is refused, and the message names the program that has the image',
    async (role) => {
      const error = await refusal(image, role);
      expect(error).toBeInstanceOf(InUseError);
      expect(error).toMatchObject({
        exitCode: 5,
        code: 'IMAGE_IN_USE',
        message: `${image}: in use: qemu-nbd (pid ${pid}) holds it for writing`,
        remedy: { kind: 'stop-programs', programs: [`qemu-nbd (pid ${pid})`] },
        context: { file: image, holders: [`qemu-nbd (pid ${pid})`] },
      });
    },
  );

  test('a force-share reader is allowed', async () => {
    await lock(image, 'force-share');
  });

  test('the lock also applies under another name of the file', async () => {
    const otherName = join(folder, 'other.qcow2');
    await link(image, otherName);
    expect((await refusal(otherName, 'reader')).message).toContain(`qemu-nbd (pid ${pid})`);
  });
});

describe('while qemu-nbd has the image open read-only', () => {
  let pid: number;
  beforeEach(async () => {
    pid = await serve(image, '--read-only');
  });

  test('a writer is refused, and the message says that the image is open for reading', async () => {
    const { message } = await refusal(image, 'writer');
    expect(message).toBe(`${image}: in use: qemu-nbd (pid ${pid}) holds it for reading`);
  });

  test.each(['reader', 'force-share'] as const)('a %s is allowed', async (role) => {
    await lock(image, role);
  });

  test('the message names every program that has the image', async () => {
    const other = await serve(image, '--read-only');
    const { message } = await refusal(image, 'writer');
    expect(message).toContain(`qemu-nbd (pid ${pid}) holds it for reading`);
    expect(message).toContain(`qemu-nbd (pid ${other}) holds it for reading`);
  });
});

test('while qemu-io has the image open read-write, a writer and a reader are refused', async () => {
  const child = start('qemu-io', image);
  await prompt(child);
  expect((await refusal(image, 'writer')).message).toContain(
    `qemu-io (pid ${child.pid}) holds it for writing`,
  );
  expect((await refusal(image, 'reader')).message).toContain(
    `qemu-io (pid ${child.pid}) holds it for writing`,
  );
  await lock(image, 'force-share');
  child.stdin.end('quit\n');
  await child;
  await lock(image, 'writer');
});

test('a qemu-io that reads with force-share (-U) does not prevent a writer', async () => {
  const child = start('qemu-io', '-r', '-U', image);
  await prompt(child);
  await lock(image, 'writer');
});

test('the message contains the whole name of qemu-storage-daemon', async () => {
  const pidfile = join(folder, 'pid');
  const child = start(
    'qemu-storage-daemon',
    ...['--blockdev', `driver=file,node-name=file,filename=${image}`],
    ...['--blockdev', 'driver=qcow2,node-name=disk,file=file'],
    ...['--pidfile', pidfile],
  );
  await until(() => readFile(pidfile, 'utf8'));
  const { message } = await refusal(image, 'writer');
  expect(message).toContain(`qemu-storage-daemon (pid ${child.pid}) holds it for writing`);
});

test('an opener that does not share consistent read excludes even a force-share reader', async () => {
  const pidfile = join(folder, 'pid');
  const strict = {
    driver: 'blkdebug',
    'node-name': 'strict',
    image: 'file',
    'unshare-child-perms': ['consistent-read'],
  };
  const child = start(
    'qemu-storage-daemon',
    ...['--blockdev', `driver=file,node-name=file,filename=${image},read-only=on`],
    ...['--blockdev', JSON.stringify({ ...strict, 'read-only': true })],
    ...['--pidfile', pidfile],
  );
  await until(() => readFile(pidfile, 'utf8'));
  for (const role of ['writer', 'reader', 'force-share'] as const) {
    expect((await refusal(image, role)).message).toContain(`(pid ${child.pid}) holds it for reading`);
  }
});

describe('a backing image', () => {
  let overlay: string;
  beforeEach(async () => {
    overlay = join(folder, 'overlay.qcow2');
    await run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay);
  });

  test('can be read but not written while qemu-nbd has its overlay open read-write', async () => {
    const pid = await serve(overlay);
    await lock(image, 'reader');
    expect((await refusal(image, 'writer')).message).toContain(`qemu-nbd (pid ${pid}) holds it for reading`);
  });

  test('can be used while a reader of ours has it open', async () => {
    await lock(image, 'reader');
    await run('qemu-io', '-c', 'write 0 64k', overlay);
  });

  test('cannot be used while a writer of ours has it open', async () => {
    await lock(image, 'writer');
    expect(await failure('qemu-io', '-c', 'write 0 64k', overlay)).toContain('lock');
  });
});

describe('while a writer of ours has the image open', () => {
  let handle: FileHandle;
  beforeEach(async () => {
    handle = await lock(image, 'writer');
  });

  test.each<[Tool, string[]]>([
    ['qemu-io', ['-c', 'write 0 64k', 'disk.qcow2']],
    ['qemu-io', ['-r', '-c', 'read 0 64k', 'disk.qcow2']],
    ['qemu-img', ['info', 'disk.qcow2']],
    ['qemu-img', ['map', 'disk.qcow2']],
    ['qemu-img', ['bitmap', '--add', 'disk.qcow2', 'b0']],
  ])('%s %j is refused', async (tool, args) => {
    expect(await failure(tool, ...args)).toMatch(/Failed to get (shared )?"(write|consistent read)" lock/);
  });

  test('qemu-img info -U works', async () => {
    await run('qemu-img', 'info', '-U', image);
  });

  test('the locks end when it is closed', async () => {
    await close(handle);
    await run('qemu-io', '-c', 'write 0 64k', image);
  });

  test('the locks stay if another descriptor of the file is closed, unlike POSIX locks', async () => {
    await close(await openImage(image));
    expect(await failure('qemu-io', '-c', 'write 0 64k', image)).toContain('lock');
  });
});

describe('while a reader of ours has the image open', () => {
  beforeEach(async () => {
    await lock(image, 'reader');
  });

  test('qemu-io may not write', async () => {
    expect(await failure('qemu-io', '-c', 'write 0 64k', image)).toContain('Failed to get "write" lock');
  });

  test('qemu-img map and qemu-nbd --read-only work', async () => {
    await run('qemu-img', 'map', image);
    await serve(image, '--read-only');
  });
});

test('a force-share reader of ours does not prevent a writer', async () => {
  await lock(image, 'force-share');
  await run('qemu-io', '-c', 'write 0 64k', image);
});

test('an opener locks the same bytes as QEMU', async () => {
  const child = start('qemu-io', image);
  await prompt(child);
  const written = await lockedBytes(child.pid);
  child.kill();
  await child;
  const writer = await lock(image, 'writer');
  expect(await lockedBytes('self')).toEqual(written);
  await close(writer);

  const reading = start('qemu-io', '-r', image);
  await prompt(reading);
  const read = await lockedBytes(reading.pid);
  await lock(image, 'reader');
  expect(await lockedBytes('self')).toEqual(read);
});

describe('two openers of ours', () => {
  test.each([
    ['writer', 'writer', false],
    ['writer', 'reader', false],
    ['reader', 'writer', false],
    ['reader', 'reader', true],
    ['writer', 'force-share', true],
    ['force-share', 'writer', true],
  ] as const)('are a %s, then a %s: both are allowed: %s', async (first, second, bothLetIn) => {
    await lock(image, first);
    if (bothLetIn) await lock(image, second);
    else expect((await refusal(image, second)).message).toContain(`(pid ${process.pid})`);
  });

  test('keep no lock if one is refused', async () => {
    const holder = await lock(image, 'reader');
    const refused = await openImage(image);
    await expect(lockImage(refused.fd, image, 'writer')).rejects.toThrow(InUseError);
    await close(holder);
    await run('qemu-io', '-c', 'write 0 64k', image);
  });

  test('never write at the same time, even if many race', async () => {
    const marker = join(folder, 'inside');
    const source = `
      import { mkdirSync, openSync, closeSync, rmdirSync } from 'node:fs';
      import { lockImage } from './src/storage/locks.ts';
      const end = Date.now() + 1500;
      let count = 0;
      while (Date.now() < end) {
        const fd = openSync(${JSON.stringify(image)}, 'r+');
        try {
          await lockImage(fd, 'disk', 'writer');
          mkdirSync(${JSON.stringify(marker)}); // throws while another is inside
          count++;
          await new Promise((done) => setTimeout(done, Math.random() * 3));
          rmdirSync(${JSON.stringify(marker)});
        } catch (error) {
          if (error.code !== 'IMAGE_IN_USE') throw error;
        } finally {
          closeSync(fd);
        }
      }
      console.log(count);`;
    const script = await bundle(source);
    const racers = Array.from({ length: 4 }, () => start('node', '--input-type=module', '--eval', script));
    const results = await Promise.all(racers);
    expect(results.map(({ stderr }) => stderr).join('')).toBe('');
    expect(results.reduce((sum, { stdout }) => sum + Number(stdout), 0)).toBeGreaterThan(10);
  });
});

async function openImage(path: string): Promise<FileHandle> {
  const handle = await open(path, 'r');
  handles.push(handle);
  return handle;
}

async function close(handle: FileHandle): Promise<void> {
  handles = handles.filter((other) => other !== handle);
  await handle.close();
}

async function lock(path: string, role: LockRole): Promise<FileHandle> {
  const handle = await openImage(path);
  await lockImage(handle.fd, path, role);
  return handle;
}

async function refusal(path: string, role: LockRole): Promise<InUseError> {
  const handle = await openImage(path);
  try {
    await lockImage(handle.fd, path, role);
  } catch (error) {
    if (error instanceof InUseError) return error;
    throw error;
  } finally {
    await close(handle);
  }
  throw new Error(`${role} was let in`);
}

async function run(tool: Tool, ...args: readonly string[]): Promise<void> {
  await execa(tool, args, { cwd: folder });
}

/** What the program says when it fails, as it must. */
async function failure(tool: Tool, ...args: readonly string[]): Promise<string> {
  const { exitCode, stderr } = await execa(tool, args, { cwd: folder, reject: false });
  expect(exitCode).toBe(1);
  return stderr;
}

/** Starts a program that is stopped after the test. */
function start(program: Tool | 'node', ...args: readonly string[]) {
  const child = spawn(program, args);
  running.push(child);
  return child;
}

function spawn(program: string, args: readonly string[]) {
  return execa(program, args, { reject: false });
}

/** Waits until an interactive qemu-io has opened its image. */
async function prompt({ stdout }: ReturnType<typeof spawn>): Promise<void> {
  await once(stdout, 'data', { signal: AbortSignal.timeout(10_000) });
}

/** Serves the image with qemu-nbd, and returns its pid once it does. */
async function serve(path: string, ...options: readonly string[]): Promise<number> {
  const socket = join(folder, `nbd-${running.length}`);
  const child = start(
    'qemu-nbd',
    '-k',
    socket,
    '-f',
    'qcow2',
    '--persistent',
    '--shared=0',
    ...options,
    path,
  );
  await until(() => run('qemu-img', 'info', `nbd+unix:///?socket=${socket}`));
  return child.pid ?? Number.NaN;
}

async function until(succeeds: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await succeeds();
      return;
    } catch (error) {
      if (attempt === 200) throw error;
      await sleep(25);
    }
  }
}

/** The ranges that the process has locked, as /proc/PID/fdinfo shows them, one per byte. */
async function lockedBytes(pid: number | 'self' | undefined): Promise<number[]> {
  const { stdout } = await execa('sh', ['-c', `cat /proc/${pid === 'self' ? process.pid : pid}/fdinfo/*`], {
    reject: false,
  });
  const bytes = [...stdout.matchAll(/^lock:.* (READ|WRITE) .* (\d+) (\d+)$/gm)].flatMap(([, , first, last]) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i),
  );
  return bytes.sort((a, b) => a - b);
}
