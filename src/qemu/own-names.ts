/**
 * Names of what a run puts into QEMU and into folders for its own time: they tell which process it was, so that a later run
 * knows what a killed one has left behind.
 */
import { readFile } from 'node:fs/promises';

/** QEMU allows names of nodes up to 31 characters: this takes at most 27 of them. */
const OWN_NAME = /^(bitmap-tool-([0-9a-z]{1,5})-([0-9a-z]{1,7})-[0-9a-z])(?:[-.].*)?$/;

let sessions = 0;

/** `bitmap-tool-PID-START-N`: the process, when it was started, and which of its sessions it is; all to the base 36. */
export async function newRunName(): Promise<string> {
  const start = await startOfProcess(process.pid);
  const session = (sessions++ % 36).toString(36);
  return `bitmap-tool-${process.pid.toString(36)}-${(start ?? 0).toString(36)}-${session}`;
}

/** The run that a bitmap, a node, an export or a file is of; undefined where it is none of ours. */
export function runOf(name: string): string | undefined {
  return OWN_NAME.exec(name)?.[1];
}

/** Whether a run has ended without taking away what it has made. */
export async function hasEnded(run: string): Promise<boolean> {
  const [, , pid = '', start = ''] = OWN_NAME.exec(run) ?? [];
  return (await startOfProcess(Number.parseInt(pid, 36))) !== Number.parseInt(start, 36);
}

/** In ticks since the boot (proc(5), field 22 of stat); undefined if the process does not exist. */
async function startOfProcess(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The name of the program may hold spaces and brackets.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields?.[19] === undefined ? undefined : Number(fields[19]);
}
