/**
 * Stands for src/cli/load-program.ts in the standalone program, where no file is beside it.
 */
export function loadProgram(): typeof import('../src/cli/run-program.ts') {
  return require('../src/cli/run-program.ts') as typeof import('../src/cli/run-program.ts');
}
