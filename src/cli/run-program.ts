/**
 * Runs the command that the arguments name. Every error arrives here, and this file decides the exit code.
 */
import { CommanderError } from 'commander';
import { loadColors } from './color.ts';
import type { CommandEntry, LoadedCommand } from './command.ts';
import { commandAtHand, NO_COMMAND } from './command-at-hand.ts';
import { COMMANDS, loadCommand, loadCommands } from './command-table.ts';
import { DONE, errorReport, exitCodeOf } from './errors.ts';
import { openInvocation } from './invocation.ts';
import { closeOutput, finishOutput, printError } from './output.ts';
import { buildProgram } from './program.ts';
import { hintFor } from './remedy/hint.ts';

/** @returns the exit code */
export async function runProgram(args: readonly string[]): Promise<number> {
  let atHand = NO_COMMAND;
  let errorExitCode: number | undefined;
  try {
    await loadColors();
    let exitCode: number = DONE;
    const program = buildProgram(await commandsFor(args), async ({ command, args, flags, showHelp }) => {
      atHand = commandAtHand(command, args, flags);
      errorExitCode = command.definition.rawArguments?.errorExitCode;
      const { invoke, interruption } = openInvocation(atHand);
      exitCode = await command.definition.run(args, flags, {
        invoke,
        hintFor: (remedy) => hintFor(remedy, atHand),
        showHelp,
        allCommands: loadCommands,
      });
      // A signal may have arrived while a change was completed.
      exitCode = interruption()?.exitCode ?? exitCode;
    });
    await program.parseAsync(args, { from: 'user' }).catch(unlessShown);
    await closeOutput();
    return exitCode;
  } catch (error) {
    await finishOutput();
    // Errors may occur before the options are parsed.
    const json = errorExitCode === undefined && args.includes('--json');
    printError(errorReport(error, atHand, json));
    return exitCodeOf(error, errorExitCode);
  }
}

/** Commander throws an error with exit code 0 after it has shown the help or the version. */
function unlessShown(error: unknown): void {
  if (!(error instanceof CommanderError && error.exitCode === 0)) throw error;
}

/**
 * Loads the called command. Its name is the first word, or follows "help". If no command is called, returns
 * all commands without loading them, for the list in the help.
 */
async function commandsFor(args: readonly string[]): Promise<(CommandEntry | LoadedCommand)[]> {
  const [first, second] = args.filter((arg) => !arg.startsWith('-'));
  const called = COMMANDS.find(({ name }) => name === (first === 'help' ? second : first));
  if (called === undefined) return [...COMMANDS];
  return [await loadCommand(called)];
}
