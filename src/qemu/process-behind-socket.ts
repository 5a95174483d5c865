/**
 * Finds the process that listens on a Unix socket, through the inode of the socket.
 */
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';

/** @returns undefined if it is unknown: the process belongs to another user, or there is no /proc */
export async function processBehindSocket(path: string): Promise<number | undefined> {
  const inodes = await listeningInodes(await realpath(path).catch(() => path), path);
  if (inodes.size === 0) return undefined;
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      if (inodes.has(target)) return Number(pid);
    }
  }
  return undefined;
}

/** Flag of /proc/net/unix for a socket that takes connections (__SO_ACCEPTCON). */
const ACCEPTS = '00010000';

/** In the form of the link targets in /proc/PID/fd. */
async function listeningInodes(...paths: string[]): Promise<Set<string>> {
  const table = await readFile('/proc/net/unix', 'utf8').catch(() => '');
  const inodes = new Set<string>();
  for (const line of table.split('\n')) {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, flags, inode, path] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (.*)$/.exec(line) ?? [];
    if (flags === ACCEPTS && path !== undefined && paths.includes(path)) inodes.add(`socket:[${inode}]`);
  }
  return inodes;
}
