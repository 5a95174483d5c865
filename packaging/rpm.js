/**
 * The package for RHEL, Fedora, oVirt nodes and SUSE. It has no install or remove scripts.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compressed, writeFiles } from './parts.js';

/**
 * @param {import('./parts.js').Parts} parts
 * @param {{ version: string, work: string, out: string }} where
 */
export function makeRpm(parts, { version, work, out }) {
  const tree = join(work, 'rpm-tree');
  const top = join(work, 'rpm');
  mkdirSync(top);
  writeFiles(tree, {
    'usr/bin/bitmap-tool': { content: parts.program, mode: 0o755 },
    'usr/share/man/man1/bitmap-tool.1.gz': { content: compressed(parts.manPage) },
    'usr/share/bash-completion/completions/bitmap-tool': { content: parts.completions.bash },
    'usr/share/zsh/site-functions/_bitmap-tool': { content: parts.completions.zsh },
    'usr/share/fish/vendor_completions.d/bitmap-tool.fish': { content: parts.completions.fish },
    'usr/share/doc/bitmap-tool/CHANGELOG.md': { content: parts.changelog },
    'usr/share/licenses/bitmap-tool/LICENSES': { content: parts.licences },
  });
  execFileSync('rpmbuild', [
    '-bb',
    '--quiet',
    '--target=x86_64-linux',
    `--define=_topdir ${top}`,
    `--define=tool_version ${version}`,
    `--define=tool_tree ${tree}`,
    fileURLToPath(new URL('bitmap-tool.spec', import.meta.url)),
  ]);
  const name = `bitmap-tool-${version}-1.x86_64.rpm`;
  copyFileSync(join(top, 'RPMS', 'x86_64', name), join(out, `bitmap-tool-${version}.x86_64.rpm`));
}
