/**
 * Builds dist/: the command line and the library, their types, the man page, and the licences of what is bundled.
 * `node build.js --no-types` leaves out the types, which take most of the time.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

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
  // Loaded late, and only where locks are taken; its binary cannot be bundled.
  external: ['koffi'],
  define: { BITMAP_TOOL_VERSION: JSON.stringify(version) },
  // Names stay: they are what a stack trace in a bug report says.
  minifySyntax: true,
  minifyWhitespace: true,
  metafile: true,
  logLevel: 'warning',
};
const library = await build({
  ...common,
  format: 'esm',
  entryPoints: { index: 'src/index.ts' },
  outdir: 'dist',
  splitting: true,
  chunkNames: 'parts/[name]-[hash]',
  // Saxes is CommonJS and asks for Node's modules in its way.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
});
// The program starts more often than it works long: CommonJS in one piece loads fastest, but for what it seldom needs.
/** By what the source calls them. */
const LOADED_LATE = new Map([
  ['chalk', 'chalk'],
  ['./spinner.ts', './src/cli/spinner.ts'],
  ['zstddec', 'zstddec'],
  ['./execa.ts', './src/qemu/execa.ts'],
]);
/** Loaded with options that take the whole program, by src/cli/command-files.ts; the files of single commands lack it. */
const OF_WHOLE_PROGRAM = new Set(['running', 'picture-file', 'map-picture', 'dump-picture']);
const nameOf = (/** @type {string} */ path) => parse(path).name;
/**
 * @param {string} lateFolder as the built file names it
 * @param {string} [command] the file of src/cli/commands that goes into it; without it all do
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
  format: 'cjs',
  supported: { 'dynamic-import': false },
  outExtension: { '.js': '.cjs' },
};
// Commander would start other programs for commands that are programs of their own; there are none.
const withoutPrograms = { alias: { 'node:child_process': './src/cli/no-child-process.ts' } };
const program = await build({
  ...forProgram,
  ...withoutPrograms,
  plugins: [leftOut('./late')],
  entryPoints: { cli: 'src/cli/main.ts', program: 'src/cli/run-program.ts' },
  outdir: 'dist',
});
// A run needs one command, and compiling the others takes longer than most runs.
const commands = await Promise.all(
  readdirSync(join(root, 'src', 'cli', 'commands'))
    .map(nameOf)
    // That one is made from all of them.
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
writeFileSync(join(root, 'dist', 'man', 'bitmap-tool.1'), await manPage());

/** Runs the part of the source that knows the commands. */
async function manPage() {
  const outfile = join(root, 'dist', 'man.cjs');
  await build({
    ...forProgram,
    ...withoutPrograms,
    plugins: [leftOut('./late')],
    entryPoints: ['src/cli/man/build.ts'],
    outfile,
  });
  const page = execFileSync(process.execPath, [outfile]);
  rmSync(outfile);
  return page;
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
