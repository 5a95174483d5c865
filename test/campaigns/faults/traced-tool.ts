/** Runs the real process under strace, which counts its system calls on one file and makes one of them fail. */
import { readFile, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));

/** What the tool asks of an image file, apart from locking it. */
export const CALLS = ['pread64', 'pwrite64', 'pwritev', 'fdatasync', 'statx', 'close'] as const;
type Call = (typeof CALLS)[number];

export interface Fault {
  readonly call: Call;
  /** Which of these calls, from 1. */
  readonly nth: number;
  /** `kill`: the process ends as the call begins. */
  readonly effect: 'EIO' | 'ENOSPC' | 'kill';
}

export interface TracedRun {
  /** undefined after a kill. */
  readonly exitCode: number | undefined;
  readonly stderr: string;
  readonly calls: Readonly<Record<Call, number>>;
}

/** @param image the file whose calls count; one of `args` names it */
export async function runTraced(image: string, args: readonly string[], fault?: Fault): Promise<TracedRun> {
  const trace = `${image}.trace`;
  const effect = fault?.effect === 'kill' ? 'signal=KILL' : `error=${fault?.effect}`;
  const injection = fault === undefined ? [] : ['-e', `inject=${fault.call}:${effect}:when=${fault.nth}`];
  const strace = ['-f', '-qq', '-o', trace, '-P', image, '-e', `trace=${CALLS.join()}`, ...injection];
  try {
    const result = await execa('strace', [...strace, process.execPath, program, ...args], {
      reject: false,
      stdin: 'ignore',
      // All work on files in one thread: strace counts the calls of each by itself.
      env: { NO_COLOR: '1', UV_THREADPOOL_SIZE: '1' },
    });
    if (result.code === 'ENOENT') throw new Error('strace is not installed: apt-get install strace');
    const text = await readFile(trace, 'utf8');
    const calls = Object.fromEntries(
      CALLS.map((call) => [call, text.split('\n').filter((line) => line.includes(` ${call}(`)).length]),
    ) as Record<Call, number>;
    if (result.exitCode === undefined && result.signal !== 'SIGKILL') throw new Error(result.message);
    return { exitCode: result.exitCode, stderr: result.stderr, calls };
  } finally {
    await rm(trace, { force: true });
  }
}
