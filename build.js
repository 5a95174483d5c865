/**
 * Builds dist/: the command line and the library, each in one file with the parts that are loaded late beside it,
 * and the library's types.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

rmSync(join(root, 'dist'), { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: { cli: 'src/cli/main.ts', index: 'src/index.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: process.env.EXT ? 'external' : 'bundle',
  external: ['koffi'],
  banner: process.env.EXT
    ? {}
    : { js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);" },
  define: { BITMAP_TOOL_VERSION: JSON.stringify(version) },
  chunkNames: 'parts/[name]-[hash]',
  logLevel: 'warning',
});
execFileSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
  {
    stdio: 'inherit',
  },
);
