/** Runs the real process with reads and writes that transfer less than requested. */
import { readFile, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { Outcome } from './judge.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const preload = fileURLToPath(new URL('short-transfers.cjs', import.meta.url));

export interface ShortTransfers {
  readonly calls: readonly ('read' | 'write')[];
  /** Which of these calls, from 1; `alternate` the first, the third, … */
  readonly nth: number | 'alternate';
  readonly part: 'half' | 'byte' | 'nothing';
}

export interface ShortRun extends Outcome {
  /** How many calls there were, and how many of them were cut short. */
  readonly seen: { readonly read: number; readonly write: number; readonly shortened: number };
}

export async function runShort(
  image: string,
  args: readonly string[],
  transfers: ShortTransfers,
): Promise<ShortRun> {
  const report = `${image}.report`;
  try {
    const { exitCode, stderr, message } = await execa(
      process.execPath,
      ['--require', preload, program, ...args],
      {
        reject: false,
        stdin: 'ignore',
        timeout: 60_000,
        env: { NO_COLOR: '1', SHORT_TRANSFERS: JSON.stringify({ ...transfers, report }) },
      },
    );
    if (exitCode === undefined) throw new Error(message);
    return { exitCode, stderr, seen: JSON.parse(await readFile(report, 'utf8')) };
  } finally {
    await rm(report, { force: true });
  }
}
