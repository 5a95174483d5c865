/** The rules for a run on any broken image. */
import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { examine, type OpenedImage } from '../crash/checker/examine.ts';
import { guestViolations } from '../crash/judge.ts';
import type { Outcome } from './program.ts';

/** Whatever a terminal or a log would not take as plain text on its line. */
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const EXIT_CODES = [0, 1, 2, 3, 4, 5];
const QEMU_PATIENCE_MS = 20_000;

/** Looks at the words alone. */
export function outputFaults({ exitCode, stdout, stderr }: Outcome, isJson: boolean): string[] {
  const faults: string[] = [];
  if (!EXIT_CODES.includes(exitCode)) faults.push(`exit code ${exitCode}`);
  if (/This is a bug|"code":"BUG"|\n\s+at /.test(stderr)) faults.push(`a bug: ${stderr.slice(0, 600)}`);
  if (exitCode !== 0 && exitCode !== 3 && stderr === '') faults.push(`exit code ${exitCode} without a word`);
  if (isJson) {
    if (exitCode === 0 && !isDocument(stdout)) faults.push(`not JSON: ${stdout.slice(0, 200)}`);
    for (const line of stderr.split('\n').filter((each) => each !== '')) {
      if (!isDocument(line)) faults.push(`not JSON on stderr: ${line.slice(0, 200)}`);
    }
  } else {
    for (const text of [stdout, stderr]) {
      const found = CONTROL.exec(text);
      if (found !== null) {
        faults.push(`control character ${JSON.stringify(found[0])} in ${JSON.stringify(text.slice(0, 300))}`);
      }
    }
  }
  return faults;
}

function isDocument(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export interface Answer {
  /** undefined: QEMU itself did not come to an end. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export function ask(program: string, ...args: string[]): Answer {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    timeout: QEMU_PATIENCE_MS,
    killSignal: 'SIGKILL',
    maxBuffer: 2 ** 28,
  });
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') throw error;
  return { status: status ?? undefined, stdout: stdout ?? '', stderr: stderr ?? '' };
}

interface Check {
  readonly errors: number;
  readonly corruptions: number;
  readonly leaks: number;
}

/** undefined where QEMU does not check it at all. */
function check(path: string): Check | undefined {
  const { status, stdout } = ask('qemu-img', 'check', '-f', 'qcow2', '--output=json', path);
  if (status === undefined || stdout === '') return undefined;
  const answer = JSON.parse(stdout);
  return {
    errors: answer['check-errors'] ?? 0,
    corruptions: answer.corruptions ?? 0,
    leaks: answer.leaks ?? 0,
  };
}

/** What happened to the image in a change that was reported done. `path` holds `after`, and may be written. */
export function changeFaults(path: string, before: Buffer, after: Buffer): string[] {
  if (before.equals(after)) return [];
  const faults: string[] = [...guestFaults(before, after)];
  const copy = `${path}.before`;
  writeFileSync(copy, before);
  // QEMU ignores refcounts beyond the end of the file until the file grows.
  truncateSync(copy, Math.max(before.length, after.length));
  const opened = ask('qemu-img', 'info', '-f', 'qcow2', '--output=json', copy);
  if (opened.status !== 0) return faults;
  const info = ask('qemu-img', 'info', '-f', 'qcow2', '--output=json', path);
  if (info.status !== 0) return [...faults, `QEMU opened it before and does not now: ${info.stderr}`];

  const [was, is] = [check(copy), check(path)];
  if (was !== undefined && is === undefined) faults.push('qemu-img check works no more');
  if (was !== undefined && is !== undefined) {
    const wasClean = was.corruptions === 0 && was.errors === 0;
    const worse = (['corruptions', 'errors', 'leaks'] as const).filter((kind) => is[kind] > was[kind]);
    // How often a broken image is found broken depends on where one looks.
    if (wasClean) faults.push(...worse.map((kind) => `${kind}: ${was[kind]}, now ${is[kind]}`));
  }
  const compared = ask('qemu-img', 'compare', '-f', 'qcow2', '-F', 'qcow2', copy, path);
  if (compared.status === 1) faults.push(`the disk is another: ${compared.stdout}`);
  return faults;
}

/** By a reader that shares no code with the tool: what the disk is made of has not moved or changed. */
function guestFaults(before: Buffer, after: Buffer): string[] {
  // What lies behind the end of the file reads as zeros.
  const padded = Buffer.concat([before, Buffer.alloc(Math.max(0, after.length - before.length))]);
  const [was, is] = [tryToExamine(padded), tryToExamine(after)];
  if (was === undefined || is === undefined) return [];
  return guestViolations(is, was);
}

/** undefined also where it is too broken for the checker, which is made for images of sound tools. */
function tryToExamine(bytes: Buffer): OpenedImage | undefined {
  try {
    const image = examine(bytes);
    return image.opens ? image : undefined;
  } catch {
    return undefined;
  }
}
