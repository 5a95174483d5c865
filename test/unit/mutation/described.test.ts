/** The names of mutants, by which survivors.json explains and score.json records them. */
import { expect, test } from 'vitest';

interface Described {
  within: string;
  change: string;
  line: number;
}

const module = new URL('../../campaigns/mutation/described.js', import.meta.url);
const { describedMutants } = (await import(module.href)) as { describedMutants(text: string): Described[] };

const FUNCTION = `export function isFree(count: number): boolean {
  if (count < 8) return true;
  return count === 0;
}
`;

const names = (text: string) => describedMutants(text).map(({ within, change }) => `${within}: ${change}`);

test('a mutant is named by its declaration and by the code before and after', () => {
  expect(names(FUNCTION)).toEqual([
    'isFree: count < 8 → true',
    'isFree: count < 8 → false',
    'isFree: count < 8 → count <= 8',
    'isFree: count < 8 → count >= 8',
    'isFree: true → false',
    'isFree: count === 0 → count !== 0',
    'isFree: count === 0 → count === 1',
  ]);
});

test('the name stays the same when the code moves to other lines or files, or is wrapped', () => {
  const moved = `import { x } from './x.ts';\n\nconst other = x > 2;\n\n${FUNCTION.replace('count === 0', 'count ===\n    0')}`;
  expect(names(moved).filter((name) => name.startsWith('isFree'))).toEqual(names(FUNCTION));
});

test('no two mutants of a file have the same name', () => {
  const twice = names(
    'export function f(a: number) {\n  while (a > 1) if (a > 3) continue;\n  for (;;) continue;\n}\n',
  );
  expect(new Set(twice).size).toBe(twice.length);
  expect(twice).toContain('f: continue; → ; (1 of 2)');
});

test('the names of a declaration with several variables differ', () => {
  expect(names('const low = 1,\n  high = low + 1;\n')).toEqual([
    'low: low = 1 → low = 0',
    'high: low + 1 → low - 1',
    'high: low + 1 → low + 0',
  ]);
});
