/**
 * Runs the command that the arguments name, and is the one boundary that every error meets.
 */
import { loadColors } from './color.ts';
import { errorReport, exitCodeOf } from './errors.ts';
import { closeOutput, finishOutput, printError } from './output.ts';
import { buildProgram } from './program.ts';

/** @returns the exit code */
export async function runProgram(args: readonly string[]): Promise<number> {
  try {
    await loadColors();
    const program = await buildProgram(args);
    await program.parseAsync(args, { from: 'user' });
    await closeOutput();
    // A signal that came while a change was being completed.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    await finishOutput();
    // Errors may come before the options are parsed.
    printError(errorReport(error, args.includes('--json')));
    return exitCodeOf(error);
  }
}
