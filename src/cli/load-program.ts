/**
 * Loads the built file that runs a command. Each command file has its own built file, and one file contains
 * all commands. They are in the same folder as this file when built.
 */
import { commandFile } from './command-files.ts';
import { loadFile } from './compiled-file.ts';

export function loadProgram(args: readonly string[]): typeof import('./run-program.ts') {
  const command = commandFile(args);
  const file = command === undefined ? 'program.cjs' : `commands/${command}.cjs`;
  return loadFile(__dirname, file).exports as typeof import('./run-program.ts');
}
