import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Runs build.js if a file that it writes is older than anything from which it is made.
 *
 * @param last one of the last files that build.js writes, by its path in the repository
 */
export function buildIfOlder(last: string, ...options: string[]): void {
  const made = join(root, last);
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).map(
    (name) => `src/${name}`,
  );
  const newest = Math.max(
    ...[...sources, 'build.js', 'bytecode.js', 'package.json'].map(
      (name) => statSync(join(root, name)).mtimeMs,
    ),
  );
  if (existsSync(made) && statSync(made).mtimeMs > newest) return;
  execFileSync(process.execPath, [join(root, 'build.js'), ...options], { stdio: 'inherit' });
}
