/**
 * Finds the process that listens on a Unix socket, through the inode of the socket.
 */
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, isAbsolute } from 'node:path';

/** @returns undefined if it is unknown: the process belongs to another user, or there is no /proc */
export async function processBehindSocket(path: string): Promise<number | undefined> {
  const real = await realpath(path).catch(() => path);
  const names = await listeningSockets(basename(real));
  if (names.size === 0) return undefined;
  const found = new Set<string>();
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const name = names.get(await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => ''));
      if (name !== undefined && (await isAt(real, name, pid))) found.add(pid);
    }
  }
  // After its file was removed, a socket still has its name, and another one may get the same name.
  const [pid, ...others] = found;
  return pid === undefined || others.length > 0 ? undefined : Number(pid);
}

/** A process may have bound its socket under a name in its own folder. */
async function isAt(real: string, name: string, pid: string): Promise<boolean> {
  const path = isAbsolute(name) ? name : `/proc/${pid}/cwd/${name}`;
  return (await realpath(path).catch(() => path)) === real;
}

/** Flag of /proc/net/unix for a socket that takes connections (__SO_ACCEPTCON). */
const ACCEPTS = '00010000';

/** The name of each listening socket whose file has this name, by the link target in /proc/PID/fd. */
async function listeningSockets(fileName: string): Promise<Map<string, string>> {
  const table = await readFile('/proc/net/unix', 'utf8').catch(() => '');
  const names = new Map<string, string>();
  for (const line of table.split('\n')) {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, flags, inode, path] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (.*)$/.exec(line) ?? [];
    if (flags !== ACCEPTS || path === undefined || basename(path) !== fileName) continue;
    names.set(`socket:[${inode}]`, path);
  }
  return names;
}
