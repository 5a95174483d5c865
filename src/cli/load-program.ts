/**
 * Loads the built file that runs a command: there is one for each, and one with all of them. They are built beside this one.
 */
import { commandFile } from './command-files.ts';

export function loadProgram(args: readonly string[]): typeof import('./run-program.ts') {
  const command = commandFile(args);
  const file = command === undefined ? './program.cjs' : `./commands/${command}.cjs`;
  return require(file) as typeof import('./run-program.ts');
}
