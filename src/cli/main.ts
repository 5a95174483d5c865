/**
 * Entry of the command line: runs one command and turns what happens into an exit code.
 */
import { loadProgram } from './load-program.ts';
import { version } from './version.ts';

const UNFINISHED_EXIT_CODE = 13;

async function main(args: readonly string[]): Promise<number> {
  // Asked for by scripts before each run: not worth loading the program for.
  if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  return loadProgram(args).runProgram(args);
}

// Reads that are under way at once. Node alone would take 4; from 9 on (congestion_threshold), file systems in FUSE read page
// by page. It holds from the first use on, which is still to come.
process.env['UV_THREADPOOL_SIZE'] ??= '8';

// Where nothing is left to wait for before there is an exit code, the run must not look like a success.
const unfinished = () => {
  process.exitCode = UNFINISHED_EXIT_CODE;
};
process.once('exit', unfinished);
void main(process.argv.slice(2)).then((exitCode) => {
  process.off('exit', unfinished);
  // All is written: to tear down what is left takes longer than to leave it to the kernel.
  process.exit(exitCode);
});
