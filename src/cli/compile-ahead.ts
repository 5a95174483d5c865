/**
 * Does the tool's main jobs once on copies of the images of the folder it is given, and stores the code that V8 compiled
 * for that; run when the package is built.
 */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileProgram, runProgramScript, storedCodePath } from './load-program.ts';

async function compileAhead(folder: string, images: string): Promise<void> {
  const script = compileProgram(folder, undefined);
  const { runProgram } = runProgramScript(script);
  const scratch = mkdtempSync(join(tmpdir(), 'bitmap-tool-build-'));
  try {
    cpSync(images, scratch, { recursive: true });
    const overlay = join(scratch, 'overlay.qcow2');
    await runProgram(['create-from', '--allocated', overlay]);
    await runProgram(['list', '--chain', overlay]);
  } finally {
    rmSync(scratch, { recursive: true });
  }
  writeFileSync(storedCodePath(folder), script.createCachedData());
}

void compileAhead(process.argv[2]!, process.argv[3]!);
