/** Names and paths in commands that a person may paste. */
import { expect, test } from 'vitest';
import { shellPath, shellWord } from '../../../src/text/shell-word.ts';

test('a shell word is quoted only if the shell would change it', () => {
  expect(shellWord('/images/disk-1.qcow2')).toBe('/images/disk-1.qcow2');
  expect(shellWord("o'p $x")).toBe(`'o'\\''p $x'`);
  expect(shellWord('')).toBe("''");
});

test('a path is written so that it is not read as an option or a protocol', () => {
  expect(shellPath('-t.qcow2')).toBe('./-t.qcow2');
  expect(shellPath("-t o'p.qcow2")).toBe(`'./-t o'\\''p.qcow2'`);
  expect(shellPath('nbd:x.qcow2')).toBe('./nbd:x.qcow2');
  expect(shellPath('/images/a:b.qcow2')).toBe('/images/a:b.qcow2');
  expect(shellPath('images/disk.qcow2')).toBe('images/disk.qcow2');
});
