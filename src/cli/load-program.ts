/**
 * Loads the program proper, from code that V8 compiled when it was built where that is for this very Node.
 */
import { readFileSync } from 'node:fs';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { Script } from 'node:vm';

type Program = typeof import('./run-program.ts');
type ModuleFunction = (exports: object, require: NodeJS.Require, module: { exports: object }) => void;

/** @param folder that it was built into */
export function loadProgram(folder: string): Program {
  return runProgramScript(compileProgram(folder, storedCode(folder)));
}

/**
 * @param code what V8 made of the same source before; it looks itself whether it can use it, and how long the source was,
 * and compiles anew if not
 */
export function compileProgram(folder: string, code: Buffer | undefined): Script {
  const filename = join(folder, 'program.cjs');
  // It is built in ASCII, of which nothing has to be decoded.
  const source = readFileSync(filename, 'latin1');
  return new Script(`(function(exports,require,module){${source}\n})`, { filename, cachedData: code });
}

export function runProgramScript(script: Script): Program {
  const module = { exports: {} };
  (script.runInThisContext() as ModuleFunction)(module.exports, require, module);
  return module.exports as Program;
}

/** Bytecode is for one version of V8 and one kind of machine. */
export function storedCodePath(folder: string): string {
  return join(folder, `program-${process.version}-${platform()}-${arch()}.cache`);
}

function storedCode(folder: string): Buffer | undefined {
  try {
    return readFileSync(storedCodePath(folder));
  } catch {
    return undefined;
  }
}
