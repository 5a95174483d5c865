/** Links between the documents have an existing file and heading as their target. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { COMMANDS } from '../../../src/cli/command-table.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const markdown = (folder: string) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
const pages = [
  ...markdown('.'),
  ...markdown('docs'),
  ...markdown('fixtures'),
  ...markdown('test/campaigns/mutation'),
];
const text = (page: string) => readFileSync(join(root, page), 'utf8');

/** The anchors that a public host makes of the headings of a page. */
function anchorsOf(page: string): string[] {
  const headings = text(page).matchAll(/^#+ (.*)$/gm);
  return Array.from(headings, ([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test.each(pages)('every link in %s has a target', (page) => {
  const broken = Array.from(text(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)).filter(
    ([, path, anchor]) => {
      const target = path === '' ? page : join(dirname(page), path!);
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    },
  );
  expect(broken.map(([link]) => link)).toEqual([]);
});

test('README.md says when to use each command, in at most 10 KB', () => {
  const readme = text('README.md');
  const [, table] = /^## Which command when\n(.*?)^## /ms.exec(readme) ?? [];
  const named = new Set(Array.from(table!.matchAll(/`([a-z-]+)/g), ([, name]) => name));
  expect(COMMANDS.map(({ name }) => name).filter((name) => !named.has(name))).toEqual([]);
  expect(Buffer.byteLength(readme)).toBeLessThan(10_000);
});

test('every file and folder that ARCHITECTURE.md names exists', () => {
  const named = Array.from(
    text('ARCHITECTURE.md').matchAll(/(?<=[`\s])((?:src|test)\/)?([\w./-]+(?:\.(?:ts|wat)|\/))(?=[`\s,;:])/g),
  );
  expect(named.length).toBeGreaterThan(30);
  const missing = named
    .map(([, start, path]) => `${start ?? 'src/'}${path}`)
    .filter((path) => !existsSync(join(root, path)) && !path.includes('…'));
  expect(missing).toEqual([]);
});

test('every test that docs/guarantees.md names exists', () => {
  const named = Array.from(text('docs/guarantees.md').matchAll(/(?<=[ `])test\/[\w./-]+/g), ([path]) => path);
  expect(named.length).toBeGreaterThan(15);
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
