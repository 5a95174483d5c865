/**
 * Builds dist/: the command line and the library, their types, the man page, and the licences of what is bundled.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

rmSync(join(root, 'dist'), { recursive: true, force: true });
/** @type {import('esbuild').BuildOptions} */
const forNode = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Loaded late, and only where locks are taken; its binary cannot be bundled.
  external: ['koffi'],
  // Commander is CommonJS and asks for Node's modules in its way.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
  define: { BITMAP_TOOL_VERSION: JSON.stringify(version) },
  logLevel: 'warning',
};
const { metafile } = await build({
  ...forNode,
  entryPoints: { cli: 'src/cli/main.ts', index: 'src/index.ts' },
  outdir: 'dist',
  splitting: true,
  chunkNames: 'parts/[name]-[hash]',
  // Names stay: they are what a stack trace in a bug report says.
  minifySyntax: true,
  minifyWhitespace: true,
  metafile: true,
});
writeFileSync(join(root, 'dist', 'THIRD-PARTY-LICENSES'), licences(Object.keys(metafile.inputs)));
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
await writeManPage(join(root, 'dist', 'man'));

/**
 * Runs the part of the source that knows the commands.
 *
 * @param {string} folder
 */
async function writeManPage(folder) {
  const printer = join(folder, 'print.mjs');
  await build({ ...forNode, entryPoints: ['src/cli/man/build.ts'], outfile: printer });
  writeFileSync(join(folder, 'bitmap-tool.1'), execFileSync(process.execPath, [printer]));
  rmSync(printer);
}

/** @param {string[]} inputs files that went into the bundle */
function licences(inputs) {
  const packages = new Set(
    inputs.flatMap((input) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? []),
  );
  return [...packages]
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
      const packed = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
      // Some packages come without theirs; it was taken from their repository then.
      const file = packed === undefined ? join('licenses', `${name}.txt`) : join(folder, packed);
      return `${name} ${version} (${license})\n\n${readFileSync(join(root, file), 'utf8').trim()}\n`;
    })
    .join('\n----------------------------------------------------------------\n\n');
}
