/**
 * The contents of every package and their layout in a folder.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { nodeFolder } from './standalone.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (/** @type {string} */ name) => readFileSync(join(root, name));

/**
 * @typedef {object} Parts
 * @property {Buffer} program
 * @property {Buffer} manPage
 * @property {{ bash: Buffer, zsh: Buffer, fish: Buffer }} completions
 * @property {Buffer} licences
 * @property {Buffer} changelog
 *
 * @typedef {object} File
 * @property {Buffer} content
 * @property {number} [mode] default 0o644
 */

/**
 * dist/ must exist.
 *
 * @param {'x64' | 'arm64'} arch
 * @param {string} program the standalone program
 * @returns {Parts}
 */
export function partsOfPackage(arch, program) {
  const completion = (/** @type {string} */ shell) =>
    execFileSync(process.execPath, [join(root, 'bin', 'bitmap-tool.js'), 'completion', shell]);
  return {
    program: readFileSync(program),
    manPage: read('dist/man/bitmap-tool.1'),
    completions: { bash: completion('bash'), zsh: completion('zsh'), fish: completion('fish') },
    licences: licences(arch),
    changelog: read('CHANGELOG.md'),
  };
}

/** @param {'x64' | 'arm64'} arch */
function licences(arch) {
  const nodeLicence = readFileSync(join(nodeFolder(arch), 'LICENSE'), 'utf8');
  return Buffer.from(
    [
      `bitmap-tool\n\n${read('LICENSE')}`,
      `The program holds the packages, the foreign function interface and the Node.js whose licences follow.\n`,
      read('dist/THIRD-PARTY-LICENSES').toString(),
      `koffi (MIT)\n\n${read('node_modules/koffi/LICENSE.txt')}`,
      `Node.js\n\n${nodeLicence}`,
    ].join('\n----------------------------------------------------------------\n\n'),
  );
}

/**
 * @param {Buffer} content
 * @returns {Buffer} gzip data without a file name and a time
 */
export function compressed(content) {
  return gzipSync(content, { level: 9 });
}

/**
 * Writes files and sets their time to the time of the packages.
 *
 * @param {string} folder
 * @param {Record<string, File>} files keys are paths in the folder
 */
export function writeFiles(folder, files) {
  for (const [path, { content, mode = 0o644 }] of Object.entries(files)) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    chmodSync(file, mode);
    utimesSync(file, packageTime(), packageTime());
  }
}

/** Seconds since 1970, see https://reproducible-builds.org/specs/source-date-epoch/ */
export function packageTime() {
  return Number(process.env['SOURCE_DATE_EPOCH']);
}
