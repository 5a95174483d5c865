/**
 * Builds dist/: the command line with its bytecode, the library, their types, the man page and the licences
 * of bundled packages. `node build.js --no-types` skips the types, because they take most of the time.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { addDigest, storeBytecode } from './bytecode.js';

const root = dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const withTypes = !process.argv.includes('--no-types');
if (withTypes) rmSync(join(root, 'dist'), { recursive: true, force: true });
mkdirSync(join(root, 'dist', 'man'), { recursive: true });
/** @type {import('esbuild').BuildOptions} */
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  // Loaded late, and only to take locks. Its binary cannot be bundled.
  external: ['koffi'],
  define: { BITMAP_TOOL_VERSION: JSON.stringify(version) },
  metafile: true,
  logLevel: 'warning',
};
// The library is not minified. Node shows the line of an error that nobody catches.
const library = await build({
  ...common,
  format: 'esm',
  entryPoints: { index: 'src/index.ts' },
  outdir: 'dist',
  splitting: true,
  chunkNames: 'parts/[name]-[hash]',
  // Saxes is CommonJS and loads Node's modules with require().
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
});
// Most runs of the program are short, so its start must be fast. One CommonJS file loads fastest. Rarely
// needed modules are separate files.
/** Keys are the import paths in the source. */
const LOADED_LATE = new Map([
  ['chalk', 'chalk'],
  ['./spinner.ts', './src/cli/spinner.ts'],
  ['zstddec', 'zstddec'],
  ['./execa.ts', './src/qemu/execa.ts'],
]);
/**
 * Modules for the options that need the whole program (see src/cli/command-files.ts). The files of single
 * commands do not contain them.
 */
const OF_WHOLE_PROGRAM = new Set(['running', 'picture-file', 'map-picture', 'dump-picture']);
const nameOf = (/** @type {string} */ path) => parse(path).name;
/**
 * @param {string} lateFolder the path from the built file
 * @param {string} [command] the file of src/cli/commands to bundle; all of them if it is omitted
 * @returns {import('esbuild').Plugin}
 */
const leftOut = (lateFolder, command) => ({
  name: 'left out',
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ kind, path }) => {
      if (kind !== 'dynamic-import') return undefined;
      if (LOADED_LATE.has(path)) return { path: `${lateFolder}/${nameOf(path)}.cjs`, external: true };
      if (command === undefined) return undefined;
      const isOther = dirname(path) === './commands' && nameOf(path) !== command;
      return isOther || OF_WHOLE_PROGRAM.has(nameOf(path))
        ? { path: `./${nameOf(path)}.cjs`, external: true }
        : undefined;
    });
  },
});
/** @type {import('esbuild').BuildOptions} */
const forProgram = {
  ...common,
  // Identifiers are not minified, so that stack traces in bug reports show names.
  minifySyntax: true,
  minifyWhitespace: true,
  format: 'cjs',
  supported: { 'dynamic-import': false },
  outExtension: { '.js': '.cjs' },
};
// Commander uses node:child_process to start commands that are separate programs. This program has no such
// commands.
const withoutPrograms = { alias: { 'node:child_process': './src/cli/no-child-process.ts' } };
const program = await build({
  ...forProgram,
  ...withoutPrograms,
  plugins: [leftOut('./late')],
  entryPoints: { cli: 'src/cli/main.ts', program: 'src/cli/run-program.ts' },
  outdir: 'dist',
});
// A run needs one command. Compiling all other commands takes longer than most runs.
const commands = await Promise.all(
  readdirSync(join(root, 'src', 'cli', 'commands'))
    .map(nameOf)
    // It needs all commands.
    .filter((command) => command !== 'completion')
    .map((command) =>
      build({
        ...forProgram,
        ...withoutPrograms,
        plugins: [leftOut('../late', command)],
        entryPoints: { [command]: 'src/cli/run-program.ts' },
        outdir: 'dist/commands',
      }),
    ),
);
const late = await build({
  ...forProgram,
  entryPoints: Object.fromEntries([...LOADED_LATE].map(([path, file]) => [nameOf(path), file])),
  outdir: 'dist/late',
});
writeFileSync(
  join(root, 'dist', 'THIRD-PARTY-LICENSES'),
  licences([library, program, ...commands, late].flatMap(({ metafile }) => Object.keys(metafile.inputs))),
);
if (withTypes) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
}
const filesOfCommands = commands.flatMap(({ metafile }) => Object.keys(metafile.outputs));
for (const file of ['dist/program.cjs', ...filesOfCommands]) addDigest(join(root, file));
await runSource('store-bytecode', (file) => storeBytecode(file, join(root, 'dist')));
const page = await runSource('man/build', (file) => execFileSync(process.execPath, [file]));
writeFileSync(join(root, 'dist', 'man', 'bitmap-tool.1'), page);

/**
 * Bundles a source file of the command line and runs it.
 *
 * @template T
 * @param {string} source
 * @param {(file: string) => T} run
 */
async function runSource(source, run) {
  const outfile = join(root, 'dist', `${nameOf(source)}.cjs`);
  await build({
    ...forProgram,
    ...withoutPrograms,
    plugins: [leftOut('./late')],
    entryPoints: [`src/cli/${source}.ts`],
    outfile,
  });
  try {
    return run(outfile);
  } finally {
    rmSync(outfile);
  }
}

/** @param {string[]} inputs source files of the bundles */
function licences(inputs) {
  const packages = new Set(
    inputs.flatMap((input) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? []),
  );
  return [...packages]
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
      const packed = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
      // Some packages do not include their licence. licenses/ has a copy from their repository.
      const file = packed === undefined ? join('licenses', `${name}.txt`) : join(folder, packed);
      return `${name} ${version} (${license})\n\n${readFileSync(join(root, file), 'utf8').trim()}\n`;
    })
    .join('\n----------------------------------------------------------------\n\n');
}
