/**
 * The package for Debian and Ubuntu. It has no install or remove scripts.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compressed, writeFiles } from './parts.js';

const control = readFileSync(new URL('control', import.meta.url), 'utf8');

/**
 * @param {import('./parts.js').Parts} parts
 * @param {{ version: string, work: string, out: string }} where
 */
export function makeDeb(parts, { version, work, out }) {
  const tree = join(work, 'deb');
  /** @type {Record<string, import('./parts.js').File>} */
  const files = {
    'usr/bin/bitmap-tool': { content: parts.program, mode: 0o755 },
    'usr/share/man/man1/bitmap-tool.1.gz': { content: compressed(parts.manPage) },
    'usr/share/bash-completion/completions/bitmap-tool': { content: parts.completions.bash },
    'usr/share/zsh/vendor-completions/_bitmap-tool': { content: parts.completions.zsh },
    'usr/share/fish/vendor_completions.d/bitmap-tool.fish': { content: parts.completions.fish },
    'usr/share/doc/bitmap-tool/copyright': { content: parts.licences },
    'usr/share/doc/bitmap-tool/changelog.gz': { content: compressed(parts.changelog) },
  };
  const sizeBytes = Object.values(files).reduce((sum, { content }) => sum + content.length, 0);
  writeFiles(tree, {
    ...files,
    'DEBIAN/control': {
      content: Buffer.from(
        control.replace('@VERSION@', version).replace('@INSTALLED_KIB@', String(Math.ceil(sizeBytes / 1024))),
      ),
    },
  });
  execFileSync('dpkg-deb', [
    '--root-owner-group',
    '--threads-max=2',
    '-Zxz',
    '-z1',
    '--build',
    tree,
    join(out, `bitmap-tool_${version}_amd64.deb`),
  ]);
}
