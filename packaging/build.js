/**
 * `npm run package` builds packages/: the standalone programs, the .deb, the .rpm, the npm tarball and their
 * checksums.
 *
 * Two builds of one commit are byte-identical. All times are the time of the commit, and every bundled tool
 * has a fixed version.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeArchive } from './archive.js';
import { makeDeb } from './deb.js';
import { partsOfPackage } from './parts.js';
import { makeRpm } from './rpm.js';
import { bundleProgram, makeStandalone } from './standalone.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'packages');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
process.env['SOURCE_DATE_EPOCH'] ??= execFileSync('git', ['log', '-1', '--format=%ct'], {
  cwd: root,
  encoding: 'utf8',
}).trim();
// The file modes in packages depend on the umask.
process.umask(0o022);

const work = mkdtempSync(join(tmpdir(), 'bitmap-tool-package-'));
try {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out);
  // This also builds dist/.
  execFileSync('npm', ['pack', '--silent', '--pack-destination', out], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await bundleProgram(join(work, 'program.cjs'));
  for (const arch of /** @type {const} */ (['x64', 'arm64'])) {
    const program = join(work, `bitmap-tool-${arch}`);
    await makeStandalone(arch, 'program.cjs', program, work);
    const parts = partsOfPackage(arch, program);
    makeArchive(parts, { version, arch, work, out });
    if (arch === 'x64') {
      makeDeb(parts, { version, work, out });
      makeRpm(parts, { version, work, out });
    }
  }
  const sums = readdirSync(out)
    .sort()
    .map(
      (name) =>
        `${createHash('sha256')
          .update(readFileSync(join(out, name)))
          .digest('hex')}  ${name}\n`,
    );
  writeFileSync(join(out, 'SHA256SUMS'), sums.join(''));
  process.stdout.write(sums.join(''));
} finally {
  rmSync(work, { recursive: true, force: true });
}
