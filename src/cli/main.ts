/**
 * Entry point of the command line. Runs one command and sets the exit code.
 */
import { writeSync } from 'node:fs';
import { loadProgram } from './load-program.ts';
import { version } from './version.ts';

const UNFINISHED_EXIT_CODE = 13;
/** Whatever keeps the event loop alive, such as a pipe on stdin, may delay the end for so long. */
const SHUTDOWN_MS = 100;

async function main(args: readonly string[]): Promise<number> {
  // Scripts ask for the version before each run, so it must not load the program.
  if (args.length === 1 && (args[0] === '--version' || args[0] === '-V') && showVersion()) return 0;
  return loadProgram(args).runProgram(args);
}

/** Returns false if it cannot be written. The program also shows the version, and reports such an error. */
function showVersion(): boolean {
  try {
    writeSync(1, `${version}\n`);
    return true;
  } catch {
    return false;
  }
}

// The number of parallel reads. Node's default is 4. From 9 parallel reads on (congestion_threshold), FUSE
// file systems read page by page. Node reads this variable when it first uses the thread pool, which is
// later.
process.env['UV_THREADPOOL_SIZE'] ??= '8';

// If the event loop becomes empty before an exit code is set, the run must not look like a success.
const unfinished = () => {
  process.exitCode = UNFINISHED_EXIT_CODE;
};
process.once('exit', unfinished);
void main(process.argv.slice(2)).then((exitCode) => {
  process.off('exit', unfinished);
  end(exitCode);
});

/** All output is written. An immediate exit is faster than an orderly shutdown. */
function end(exitCode: number): void {
  // From Node 22 on, process.exit() can wait without end for a thread of V8 that compiles, which waits for a
  // garbage collection. An orderly shutdown lets such threads go.
  if (Number.parseInt(process.versions.node, 10) < 22) process.exit(exitCode);
  process.exitCode = exitCode;
  setTimeout(() => process.exit(), SHUTDOWN_MS).unref();
}
