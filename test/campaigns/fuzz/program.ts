/** Runs the command line inside this process, many times in a row, and captures its output. */
import { redirectOutput } from '../../../src/cli/output.ts';
import { runProgram } from '../../../src/cli/run-program.ts';

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runHere(args: readonly string[]): Promise<Outcome> {
  const { stdout, stderr } = process;
  const [writeOut, writeErr] = [stdout.write, stderr.write];
  const texts = { stdout: '', stderr: '' };
  redirectOutput((bytes) => (texts.stdout += Buffer.from(bytes).toString()));
  // Commander writes its help so.
  stdout.write = (chunk: string | Uint8Array) => {
    texts.stdout += String(chunk);
    return true;
  };
  stderr.write = (chunk: string | Uint8Array) => {
    texts.stderr += String(chunk);
    return true;
  };
  try {
    process.exitCode = 0;
    let exitCode = await runProgram(args);
    // `bitmap` sets it itself.
    if (exitCode === 0) exitCode = Number(process.exitCode);
    return { exitCode, ...texts };
  } finally {
    process.exitCode = 0;
    stdout.write = writeOut;
    stderr.write = writeErr;
  }
}
