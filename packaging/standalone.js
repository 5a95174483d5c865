/**
 * The standalone program. It contains Node, the command line and koffi's binary (Node's "Single executable
 * applications").
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { inject } from 'postject';
import { npmPackage } from './npm-package.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const readJson = (/** @type {string} */ path) => JSON.parse(readFileSync(join(root, path), 'utf8'));
const node = readJson('packaging/node.json');

/**
 * The name of the blob, and the fuse that shows Node that a blob exists. Both are from Node's documentation.
 */
const BLOB = 'NODE_SEA_BLOB';
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/**
 * A thread of V8 that compiles during process.exit() may wait for a garbage collection in the main thread, which
 * waits for the thread to end. The code cache is only valid for the flags with which it was made.
 */
const COMPILE_IN_MAIN_THREAD = ['--no-concurrent-sparkplug', '--no-concurrent-recompilation'];

/**
 * @param {'x64' | 'arm64'} arch
 * @returns {string} the folder of the official build of Node, with `bin/node` and `LICENSE`
 */
export function nodeFolder(arch) {
  return npmPackage(`node-linux-${arch}`, node.version, node.packages[arch]);
}

/** @param {'x64' | 'arm64'} arch */
function koffiBinary(arch) {
  const name = `@koromix/koffi-linux-${arch}`;
  const { version, integrity } = readJson('package-lock.json').packages[`node_modules/${name}`];
  return join(npmPackage(name, version, integrity), `linux_${arch}`, 'koffi.node');
}

/**
 * Bundles the command line into one file.
 *
 * @param {string} outfile
 */
export async function bundleProgram(outfile) {
  await build({
    absWorkingDir: root,
    entryPoints: ['src/cli/main.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: `node${node.version}`,
    supported: { 'dynamic-import': false },
    define: { BITMAP_TOOL_VERSION: JSON.stringify(readJson('package.json').version) },
    minifySyntax: true,
    minifyWhitespace: true,
    logLevel: 'warning',
    plugins: [
      {
        name: 'everything inside',
        setup({ onResolve }) {
          const takes = (/** @type {RegExp} */ filter, /** @type {string} */ file) =>
            onResolve({ filter }, () => ({ path: join(root, file) }));
          takes(/^\.\/load-program\.ts$/, 'packaging/load-program.ts');
          takes(/^koffi$/, 'packaging/embedded-koffi.ts');
          // Commander uses it only to start separate programs. The work in a running QEMU needs the real
          // module.
          onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
            importer.includes('/node_modules/commander/')
              ? { path: join(root, 'src/cli/no-child-process.ts') }
              : undefined,
          );
        },
      },
    ],
  });
}

/**
 * @param {'x64' | 'arm64'} arch
 * @param {string} program the name in `work` of the file from {@link bundleProgram}
 * @param {string} outfile
 * @param {string} work a folder for intermediate files
 */
export async function makeStandalone(arch, program, outfile, work) {
  // Paths are relative to `work`. The blob contains them, and two builds must be identical.
  const [blob, config] = [`${arch}.blob`, `${arch}.json`];
  writeFileSync(
    join(work, config),
    JSON.stringify({
      main: program,
      output: blob,
      disableExperimentalSEAWarning: true,
      // A code cache is only valid for the processor architecture that created it.
      useCodeCache: arch === process.arch,
      execArgv: COMPILE_IN_MAIN_THREAD,
      assets: { 'koffi.node': koffiBinary(arch) },
    }),
  );
  // Without a seed, the code cache holds random hashes. V8 does not compare this option when it loads the
  // cache.
  execFileSync(
    join(nodeFolder(/** @type {'x64'} */ (process.arch)), 'bin', 'node'),
    ['--random-seed=1', ...COMPILE_IN_MAIN_THREAD, '--experimental-sea-config', config],
    { cwd: work, stdio: 'ignore' },
  );
  copyFileSync(join(nodeFolder(arch), 'bin', 'node'), outfile);
  chmodSync(outfile, 0o755);
  await inject(outfile, BLOB, readFileSync(join(work, blob)), { sentinelFuse: FUSE });
}
