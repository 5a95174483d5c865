/**
 * What stdout and stderr are, by their descriptors: process.stdout and process.stderr load Node's streams and sockets, which
 * takes as long as much of a short command's work.
 */
import { fstatSync, statSync } from 'node:fs';

const DESCRIPTORS = { stdout: 1, stderr: 2 } as const;

export type OutputName = keyof typeof DESCRIPTORS;

/** Columns of the terminal that it is; undefined where it is none, or its width is not known. */
export function terminalColumns(name: OutputName): number | undefined {
  if (!isTerminal(name)) return undefined;
  const { columns } = process[name];
  return columns > 0 ? columns : undefined;
}

export function isTerminal(name: OutputName): boolean {
  return isTalkative(DESCRIPTORS[name]) && process[name].isTTY;
}

/** False for files, pipes, sockets and /dev/null, of which none is a terminal. */
function isTalkative(fd: number): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isCharacterDevice() && stats.rdev !== statSync('/dev/null').rdev;
  } catch {
    return true;
  }
}
