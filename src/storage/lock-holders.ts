/**
 * Finds the processes that hold locks on a file. The kernel reports pid -1 for OFD locks, so this module
 * reads the descriptors of all processes.
 */
import { promises as fs } from 'node:fs';
import { basename } from 'node:path';
import type { Span } from '../bytes/range.ts';

export interface LockHolder {
  readonly pid: number;
  /** Name of the program, or of the script for a Node program. */
  readonly command: string;
  /** Whether it holds the byte of a writer. */
  readonly writes: boolean;
}

/**
 * The processes that hold a lock on any of `bytes` of the file open as `fd`. Locks held through `fd` itself
 * do not count.
 * The result lacks processes that are not accessible (another user's, or outside the container) and processes
 * that end during the search.
 *
 * @param writerByte the byte that each process locks that writes to the file
 */
export async function findLockHolders(
  fd: number,
  bytes: readonly number[],
  writerByte: number,
): Promise<LockHolder[]> {
  const file = await identity(`/proc/self/fd/${fd}`);
  if (file === undefined) return [];
  const self = await fs.readlink('/proc/self').catch(() => '');
  const holders: LockHolder[] = [];
  for (const pid of await entries('/proc')) {
    const ranges = await lockedRanges(pid, file, pid === self ? String(fd) : undefined);
    const holds = (byte: number) => ranges.some(({ start, end }) => start <= byte && byte < end);
    if (!bytes.some(holds)) continue;
    holders.push({ pid: Number(pid), command: await commandOf(pid), writes: holds(writerByte) });
  }
  return holders;
}

async function lockedRanges(
  pid: string,
  file: string,
  exceptFd: string | undefined,
): Promise<readonly Span[]> {
  const fds = (await entries(`/proc/${pid}/fdinfo`)).filter((fd) => fd !== exceptFd);
  const found = await Promise.all(
    fds.map(async (fd) => {
      const ranges = parseLocks(await fs.readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => ''));
      // Call stat(2) only on descriptors with locks: on a dead network file system it would hang. Compare its
      // result, not the device and inode of the lock line, which differ on btrfs and overlayfs.
      return ranges.length > 0 && (await identity(`/proc/${pid}/fd/${fd}`)) === file ? ranges : [];
    }),
  );
  return found.flat();
}

/**
 * proc_pid_fdinfo(5): `lock:	1: OFDLCK ADVISORY  READ -1 fe:00:2146320 100 101`.
 * FLOCK lines are another kind.
 */
function parseLocks(fdinfo: string): Span[] {
  const locks = fdinfo.matchAll(/^lock:\s+\d+: +(?:OFDLCK|POSIX) .* (\d+) (\d+|EOF)$/gm);
  return [...locks].map(([, first, last]) => ({
    start: Number(first),
    end: last === 'EOF' ? Number.POSITIVE_INFINITY : Number(last) + 1,
  }));
}

/** Equal for two descriptors exactly if their locks can conflict. */
async function identity(path: string): Promise<string | undefined> {
  const stats = await fs.stat(path, { bigint: true }).catch(() => undefined);
  return stats && `${stats.dev}:${stats.ino}`;
}

/** Reads the command line, because /proc/PID/comm is cut at 15 bytes. */
async function commandOf(pid: string): Promise<string> {
  const [program = '', ...args] = (await fs.readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split(
    '\0',
  );
  const command = basename(program);
  if (command !== 'node') return command || 'unknown program';
  const script = args.find((arg) => arg !== '' && !arg.startsWith('-'));
  return script === undefined ? command : basename(script);
}

/** The numbered entries of a folder of /proc: processes or descriptors. */
async function entries(folder: string): Promise<string[]> {
  const names = await fs.readdir(folder).catch(() => []);
  return names.filter((name) => /^\d+$/.test(name));
}
