/**
 * Stores the bytecode of a built file. The build of the package runs this file.
 *
 * V8 compiles a function when it is first called, so the command runs before its bytecode is taken.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytecodePath, encodeBytecode, loadFile } from './compiled-file.ts';

async function storeBytecode(folder: string, file: string, runs: readonly string[]): Promise<void> {
  const path = join(folder, file);
  // Bytecode of an earlier build would be stored again, with other functions.
  rmSync(bytecodePath(path), { force: true });
  const { exports, script } = loadFile(folder, file);
  const { runProgram } = exports as typeof import('./run-program.ts');
  for (const run of runs) await runProgram(run.split(' '));
  writeFileSync(bytecodePath(path), encodeBytecode(readFileSync(path, 'utf8'), script.createCachedData()));
}

const [folder = '', file = '', ...runs] = process.argv.slice(2);
void storeBytecode(folder, file, runs);
