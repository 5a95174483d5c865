/**
 * Names of the temporary objects of a run, in QEMU and in folders. A name contains the process, so that a
 * later run can find the leftovers of a killed run.
 */
import { readFile } from 'node:fs/promises';

/** QEMU allows node names of up to 31 characters. The part for the run has at most 27. */
const OWN_NAME = /^(bitmap-tool-([0-9a-z]{1,5})-([0-9a-z]{1,7})-[0-9a-z])(?:[-.].*)?$/;

let sessions = 0;

/** `bitmap-tool-PID-START-N`: process ID, start time of the process and session number, all in base 36. */
export async function newRunName(): Promise<string> {
  const start = await startOfProcess(process.pid);
  const session = (sessions++ % 36).toString(36);
  return `bitmap-tool-${process.pid.toString(36)}-${(start ?? 0).toString(36)}-${session}`;
}

/** The run that made a bitmap, a node, an export or a file; undefined if no run of this tool made it. */
export function runOf(name: string): string | undefined {
  return OWN_NAME.exec(name)?.[1];
}

/** Whether the process of a run has ended. */
export async function hasEnded(run: string): Promise<boolean> {
  const [, , pid = '', start = ''] = OWN_NAME.exec(run) ?? [];
  return (await startOfProcess(Number.parseInt(pid, 36))) !== Number.parseInt(start, 36);
}

/** Start time in ticks since boot (proc(5), field 22 of stat); undefined if the process does not exist. */
async function startOfProcess(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The program name can contain spaces and parentheses.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields?.[19] === undefined ? undefined : Number(fields[19]);
}
