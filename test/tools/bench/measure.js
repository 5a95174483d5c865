/** Runs a program to its end and measures it: wall time from spawn to exit, or the peak of its memory. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { text } from 'node:stream/consumers';

/** @typedef {readonly [program: string, ...args: string[]]} Command */
/** @typedef {Command | { each: readonly Command[] } | { timesItself: Command }} Work */

const GNU_TIME = '/usr/bin/time';
const POLL_MILLISECONDS = 2;

/**
 * @param {Work} work whose stdout goes to /dev/null; several commands are added up
 * @returns {Promise<number>} seconds, those that the command prints where it measures itself
 * @throws where the program cannot be started or does not exit with 0
 */
export async function wallSeconds(work) {
  if ('timesItself' in work) return Number(await output(work.timesItself));
  let seconds = 0;
  for (const command of 'each' in work ? work.each : [work]) {
    const startedAt = process.hrtime.bigint();
    await exited(start(command));
    seconds += Number(process.hrtime.bigint() - startedAt) / 1e9;
  }
  return seconds;
}

/**
 * GNU time tells the exact peak. Elsewhere the kernel's own high-water mark is polled, which only misses what happens
 * in the last moments before the exit.
 * @param {Command} command
 * @param {string} scratchFile for the answer of GNU time
 * @returns {Promise<number | undefined>} bytes; undefined where the platform tells neither way
 */
export async function peakBytes(command, scratchFile) {
  if (existsSync(GNU_TIME)) {
    await exited(start([GNU_TIME, '-f', '%M', '-o', scratchFile, ...command]));
    const kibibytes = Number(readFileSync(scratchFile, 'utf8'));
    rmSync(scratchFile);
    return kibibytes * 1024;
  }
  const running = start(command);
  /** @type {number | undefined} */
  let peak;
  const poll = setInterval(() => {
    peak = highWaterMark(running.child.pid) ?? peak;
  }, POLL_MILLISECONDS);
  await exited(running).finally(() => clearInterval(poll));
  return peak;
}

/**
 * Both at once, for what takes too long to run twice; needs GNU time.
 *
 * @param {Command} command @param {string} scratchFile
 */
export async function secondsAndPeakBytes(command, scratchFile) {
  const startedAt = process.hrtime.bigint();
  await exited(start([GNU_TIME, '-f', '%M', '-o', scratchFile, ...command]));
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  return { seconds, peakBytes: Number(readFileSync(scratchFile, 'utf8')) * 1024 };
}

/** @param {Command} command @returns {Promise<string>} its stdout */
export async function output(command) {
  const running = start(command, 'pipe');
  const [stdout] = await Promise.all([
    running.child.stdout ? text(running.child.stdout) : '',
    exited(running),
  ]);
  return stdout;
}

/** @param {Command} command @param {'ignore' | 'pipe'} [stdout] */
function start([program, ...args], stdout = 'ignore') {
  const child = spawn(program, args, { stdio: ['ignore', stdout, 'pipe'] });
  const stop = () => child.kill();
  process.once('exit', stop);
  child.once('exit', () => process.off('exit', stop));
  const stderr = child.stderr ? text(child.stderr) : Promise.resolve('');
  return { child, stderr, shown: [program, ...args].join(' ') };
}

/** @param {ReturnType<typeof start>} running */
async function exited({ child, stderr, shown }) {
  const [code, signal] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${shown}\n  ended with ${signal ?? code}: ${(await stderr).trim()}`);
}

/** @param {number | undefined} pid @returns {number | undefined} bytes */
function highWaterMark(pid) {
  try {
    const kibibytes = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined; // it has ended, or there is no /proc
  }
}
