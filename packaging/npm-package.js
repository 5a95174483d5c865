/**
 * Downloads npm packages that `npm install` does not install here. They are for another processor, or are
 * only part of the built packages.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(new URL('../node_modules/.cache/bitmap-tool/', import.meta.url));

/**
 * @param {string} name
 * @param {string} version
 * @param {string} integrity in the format of package-lock.json: `sha512-…`
 * @returns {string} the folder of the unpacked package; later builds reuse it
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
