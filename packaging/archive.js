/**
 * The archive of the standalone program and its documents, for hosts without a package manager.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { packageTime, writeFiles } from './parts.js';

/**
 * @param {import('./parts.js').Parts} parts
 * @param {{ version: string, arch: 'x64' | 'arm64', work: string, out: string }} where
 */
export function makeArchive(parts, { version, arch, work, out }) {
  const name = `bitmap-tool-${version}-linux-${arch}`;
  writeFiles(join(work, name), {
    'bitmap-tool': { content: parts.program, mode: 0o755 },
    'bitmap-tool.1': { content: parts.manPage },
    'completions/bitmap-tool.bash': { content: parts.completions.bash },
    'completions/_bitmap-tool': { content: parts.completions.zsh },
    'completions/bitmap-tool.fish': { content: parts.completions.fish },
    LICENSES: { content: parts.licences },
    'CHANGELOG.md': { content: parts.changelog },
  });
  execFileSync(
    'tar',
    [
      '--create',
      '--format=ustar',
      '--sort=name',
      `--mtime=@${packageTime()}`,
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      // The output of one thread differs from the output of several. Several threads always give the same
      // bytes.
      '--use-compress-program=xz -1 -T2',
      `--file=${join(out, `${name}.tar.xz`)}`,
      name,
    ],
    { cwd: work },
  );
}
