/**
 * Packages of the npm registry that npm does not install here: they are for another processor, or only go into what is built.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const cache = new URL('../node_modules/.cache/bitmap-tool/', import.meta.url).pathname;

/**
 * @param {string} name
 * @param {string} version
 * @param {string} integrity as package-lock.json writes it: `sha512-…`
 * @returns {string} the folder that the package is unpacked in; kept for the next build
 */
export function npmPackage(name, version, integrity) {
  const folder = join(cache, `${name.replaceAll('/', '+')}-${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'download-'));
  try {
    const [tarball] = execFileSync(
      'npm',
      ['pack', '--silent', '--pack-destination', work, `${name}@${version}`],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
      .trim()
      .split('\n')
      .slice(-1);
    const file = join(work, /** @type {string} */ (tarball));
    const found = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
    if (found !== integrity) {
      throw new Error(`${name}@${version}: the registry's tarball is ${found}, must be ${integrity}`);
    }
    execFileSync('tar', ['-xzf', file, '-C', work]);
    renameSync(join(work, 'package'), folder);
    return folder;
  } finally {
    rmSync(work, { recursive: true });
  }
}
