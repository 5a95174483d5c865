/** Runs the built command line as its users do: a process with arguments, two streams and an exit code. */
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const program = fileURLToPath(new URL('../../bin/bitmap-tool.js', import.meta.url));

export interface ToolResult {
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
  /** stdout as JSON; undefined where it is not one JSON document. */
  json: unknown;
  /** `error` of the JSON document on stderr, if there is one. */
  error: { code: string; message: string } | undefined;
}

/** Runs `bitmap-tool args…` to its end, whatever its exit code. */
export async function bitmapTool(...args: string[]): Promise<ToolResult> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [program, ...args], {
    reject: false,
    stdin: 'ignore',
    env: { NO_COLOR: '1' },
  });
  // Warnings, a line each, may stand before it.
  const complaint = parseJson(stderr.split('\n').at(-1) ?? '') as
    | { error?: { code: string; message: string } }
    | undefined;
  return { exitCode, stdout, stderr, json: parseJson(stdout), error: complaint?.error };
}

/** Runs `bitmap-tool args… --json`, which must succeed, and returns its one JSON document. */
export async function bitmapToolJson<T>(...args: string[]): Promise<T> {
  const { exitCode, stdout, stderr, json } = await bitmapTool(...args, '--json');
  if (exitCode !== 0 || json === undefined) {
    throw new Error(`bitmap-tool ${args.join(' ')} --json: exit code ${exitCode}\n${stdout}\n${stderr}`);
  }
  return json as T;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
