/**
 * The packed package installs elsewhere and works there: program, library and types, with and without locks.
 */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeTemporaryFolder } from '../../support/scratch.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
let folder: string;
let files: string[];
let tarball: string;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  const { stdout } = await execa(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
    {
      cwd: root,
    },
  );
  // A list up to npm 11, an object by name from npm 12 on.
  const [packed] = Object.values(
    JSON.parse(stdout) as Record<string, { filename: string; files: { path: string }[] }>,
  );
  tarball = join(folder, packed!.filename);
  files = packed!.files.map(({ path }) => path);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** A project elsewhere that has the package as its only dependency, and a chain to work on. */
async function install(name: string, ...options: string[]): Promise<string> {
  const project = join(folder, name);
  await mkdir(project);
  await writeFile(join(project, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }));
  await execa('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...options, tarball], {
    cwd: project,
  });
  await cp(join(root, 'fixtures', 'chain'), join(project, 'chain'), { recursive: true });
  return project;
}

const run = (project: string, ...args: string[]) =>
  execa(join(project, 'node_modules', '.bin', 'bitmap-tool'), args, { cwd: project, reject: false });

test('the package contains the program, the library with its types, the schemas and the documents, and nothing else', () => {
  const allowed =
    /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|schemas\/output\.json|bin\/(bitmap-tool\.js|package\.json)|dist\/THIRD-PARTY-LICENSES|dist\/man\/bitmap-tool\.1|dist\/(index|parts\/[\w-]+)\.js|dist\/(cli|program|commands\/[a-z-]+|late\/(chalk|execa|spinner|zstddec))\.cjs|dist\/commands\/[a-z-]+\.cjs\.bytecode|dist\/types\/[\w/-]+\.d\.ts)$/;
  expect(files.filter((path) => !allowed.test(path))).toEqual([]);
  for (const path of [
    'bin/bitmap-tool.js',
    'bin/package.json',
    'dist/cli.cjs',
    'dist/program.cjs',
    'dist/index.js',
    'dist/types/index.d.ts',
    'schemas/output.json',
    'LICENSE',
    'README.md',
  ]) {
    expect(files).toContain(path);
  }
});

test('a package without install scripts runs the program and the library', async () => {
  const project = await install('whole');
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  expect((await run(project, '--version')).stdout).toBe(version);
  expect(await run(project, 'create-from', '--allocated', 'chain/overlay.qcow2')).toMatchObject({
    exitCode: 0,
    stderr: '',
  });

  await writeFile(
    join(project, 'use.ts'),
    `import { createFrom, dumpBitmap, listBitmaps, mapAllocation, RefusedError, removeBitmaps } from 'bitmap-tool';
const image = 'chain/overlay.qcow2';
const { bitmaps } = await listBitmaps(image);
const name: string = bitmaps[0]!.name;
const { dirtyBytes } = await dumpBitmap(image, name);
let extents = 0;
for await (const batch of mapAllocation(image)) extents += batch.length;
const refused = await createFrom(image, { kind: 'allocated' }, { names: [name] }).catch((error: unknown) => error);
const { bitmaps: removed } = await removeBitmaps(image, [name]);
console.log(JSON.stringify({ name, dirtyBytes, extents, refused: refused instanceof RefusedError && refused.code, removed }));
`,
  );
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const options = ['--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
  const typeRoots = ['--typeRoots', join(root, 'node_modules', '@types')];
  await execa(process.execPath, [tsc, ...options, ...typeRoots, 'use.ts'], { cwd: project });
  const used = await execa(process.execPath, ['use.js'], { cwd: project });
  expect(used.stderr).toBe('');
  expect(JSON.parse(used.stdout)).toEqual({
    name: 'checkpoint-2026-11-01',
    dirtyBytes: 589824,
    extents: expect.any(Number),
    refused: 'BITMAP_EXISTS',
    removed: ['checkpoint-2026-11-01'],
  });
});

test('Node shows an error of the library that nobody catches in short lines', async () => {
  const project = await install('uncaught');
  await writeFile(
    join(project, 'use.js'),
    "import { listBitmaps } from 'bitmap-tool';\nawait listBitmaps('missing.qcow2');\n",
  );
  const { exitCode, stderr } = await execa(process.execPath, ['use.js'], { cwd: project, reject: false });
  expect(exitCode).toBe(1);
  expect(stderr).toContain('FailedError: missing.qcow2: no such file');
  expect(stderr.split('\n').filter((line) => line.length > 200)).toEqual([]);
});

test('npm installs the program and the man page for all users, and removes them', async () => {
  const prefix = join(folder, 'prefix');
  const npm = (...args: string[]) =>
    execa('npm', [...args, '--global', '--prefix', prefix, '--ignore-scripts', '--no-audit', '--no-fund']);
  await npm('install', tarball);
  const [program, page] = [
    join(prefix, 'bin', 'bitmap-tool'),
    join(prefix, 'share', 'man', 'man1', 'bitmap-tool.1'),
  ];
  expect((await execa(program, ['list', join(root, 'fixtures', 'chain', 'base.qcow2')])).stdout).toContain(
    'checkpoint-2026-11-01',
  );
  expect(await readFile(page, 'utf8')).toContain('.TH');
  await npm('uninstall', 'bitmap-tool');
  for (const file of [program, page]) await expect(readFile(file)).rejects.toThrow('ENOENT');
});

test('a package without optional dependencies reports how to get locks, and works with --no-lock', async () => {
  const project = await install('bare', '--omit=optional');
  const refused = await run(project, 'create-from', '--allocated', 'chain/overlay.qcow2');
  expect(refused.exitCode).toBe(4);
  expect(refused.stderr).toContain('koffi is not installed');
  expect(refused.stderr).toContain('npm install --include=optional');
  expect(await run(project, 'create-from', '--allocated', '--no-lock', 'chain/overlay.qcow2')).toMatchObject({
    exitCode: 0,
  });
});

test('the package and its dependencies run nothing during installation, and their versions are exact and locked', async () => {
  const read = async (name: string) => JSON.parse(await readFile(join(root, name), 'utf8'));
  const { dependencies = {}, optionalDependencies, devDependencies, scripts } = await read('package.json');
  expect(dependencies).toEqual({});
  expect(Object.keys(optionalDependencies)).toEqual(['koffi']);
  expect(Object.keys(scripts)).not.toEqual(
    expect.arrayContaining([expect.stringMatching(/^(pre|post)?install$/)]),
  );
  for (const [name, version] of Object.entries({ ...optionalDependencies, ...devDependencies })) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
  }
  const { packages } = await read('package-lock.json');
  for (const [path, { link, integrity }] of Object.entries<{ link?: boolean; integrity?: string }>(
    packages,
  )) {
    if (path !== '' && link !== true) expect(integrity, path).toMatch(/^sha512-/);
  }
});

test('the package lists the licences of its built-in dependencies', async () => {
  const papers = await readFile(join(root, 'dist', 'THIRD-PARTY-LICENSES'), 'utf8');
  for (const name of ['commander', 'chalk', 'ora', 'saxes', 'zstddec']) expect(papers).toContain(name);
  expect(papers).toMatch(/MIT|ISC|BSD/);
});
