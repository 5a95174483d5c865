/** Names and paths in commands that can be pasted. */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { printable } from '../../../src/text/printable.ts';
import { parseShellWords, shellPath, shellWord } from '../../../src/text/shell-word.ts';

test('a shell word is quoted only if the shell would change it', () => {
  expect(shellWord('/images/disk-1.qcow2')).toBe('/images/disk-1.qcow2');
  expect(shellWord("o'p $x")).toBe(`'o'\\''p $x'`);
  expect(shellWord('')).toBe("''");
});

test('a name with control characters is written so that bash takes it and a terminal shows it', () => {
  const names = ['a\nb', "tab\t'quote' \\ 1", '\u001b[31m0', 'é\u202e2 $x', '\u0085'];
  expect(shellWord(names[0]!)).toBe(String.raw`$'a\x0ab'`);
  for (const name of names) {
    const word = shellWord(name);
    expect(printable(word)).toBe(word);
    expect(execFileSync('bash', ['-c', `printf %s ${word}`], { encoding: 'utf8' })).toBe(name);
  }
});

test('a path is written so that it is not read as an option or a protocol', () => {
  expect(shellPath('-t.qcow2')).toBe('./-t.qcow2');
  expect(shellPath("-t o'p.qcow2")).toBe(`'./-t o'\\''p.qcow2'`);
  expect(shellPath('nbd:x.qcow2')).toBe('./nbd:x.qcow2');
  expect(shellPath('/images/a:b.qcow2')).toBe('/images/a:b.qcow2');
  expect(shellPath('images/disk.qcow2')).toBe('images/disk.qcow2');
});

test('a command is split into words as by a shell', () => {
  const words = [
    '/usr/bin/qemu',
    '-name',
    "it's $x",
    '',
    '-blockdev',
    `{"filename":"/a b/o'p -blockdev {}.qcow2"}`,
  ];
  expect(parseShellWords(words.map(shellWord).join(' '))).toEqual(words);
  const text = execFileSync('sh', ['-c', `printf '%s\\n' ${words.map(shellWord).join(' ')}`], {
    encoding: 'utf8',
  });
  expect(text.split('\n').slice(0, -1)).toEqual(words);
});
