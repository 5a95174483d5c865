/**
 * Checks stdout and stderr by file descriptor. process.stdout and process.stderr would load Node's streams
 * and sockets, which takes as long as much of a short command's work.
 */
import { fstatSync, statSync } from 'node:fs';

const DESCRIPTORS = { stdout: 1, stderr: 2 } as const;

export type OutputName = keyof typeof DESCRIPTORS;

/** The width of the terminal. Undefined if the stream is not a terminal or the width is unknown. */
export function terminalColumns(name: OutputName): number | undefined {
  if (!isTerminal(name)) return undefined;
  const { columns } = process[name];
  return columns > 0 ? columns : undefined;
}

export function isTerminal(name: OutputName): boolean {
  return isTalkative(DESCRIPTORS[name]) && process[name].isTTY;
}

/** False for files, pipes, sockets and /dev/null, because they are not terminals. */
function isTalkative(fd: number): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isCharacterDevice() && stats.rdev !== statSync('/dev/null').rdev;
  } catch {
    return true;
  }
}
