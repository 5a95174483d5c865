/**
 * Entry of the command line: parses the arguments, runs one command, and turns what happens into an exit code.
 */
import { version } from './version.ts';

async function main(args: readonly string[]): Promise<number> {
  // Asked for by scripts before each run: not worth loading the command tree for.
  if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  const { runProgram } = await import('./run-program.ts');
  return runProgram(args);
}

process.exitCode = await main(process.argv.slice(2));
