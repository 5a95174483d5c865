/** Makes one module of JavaScript, because Node.js 20 does not run TypeScript. It finds koffi from the folder in which it runs. */
import { join } from 'node:path';
import { build } from 'esbuild';

export async function bundle(source: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: join(import.meta.dirname, '../../..') },
    ...{ bundle: true, write: false, format: 'esm', platform: 'node', external: ['koffi'] },
  });
  return outputFiles[0]?.text ?? '';
}
