/** Columns are aligned. */
import { expect, test } from 'vitest';
import { table } from '../../../../src/cli/print/table.ts';

test('columns are as wide as their widest cell, numbers are aligned to the right, and lines have no trailing spaces', () => {
  const columns = [{ title: 'name' }, { title: 'size', align: 'right' }, { title: 'flags' }] as const;
  expect(
    table(columns, [
      ['a', '1 KiB', 'auto'],
      ['checkpoint', '12 B', ''],
    ]),
  ).toBe(['name         size  flags', 'a           1 KiB  auto', 'checkpoint   12 B', ''].join('\n'));
});

test('a table without rows has only its titles', () => {
  expect(table([{ title: 'name' }, { title: 'size' }], [])).toBe('name  size\n');
});
