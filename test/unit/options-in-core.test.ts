/** Only src/cli names an option of the command line, in texts and in comments. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const source = new URL('../../src/', import.meta.url);

/** A call of another program, up to the end of its quotes. */
const OTHER_PROGRAM = /\b(?:qemu-img|qemu-nbd|nbdinfo|virsh)\b[^`"']*/g;

/** An argument for another program: a text for people has more words. */
const ARGUMENT = /['`]--[a-z-]+(?:=[^'`]*)?['`]/g;

test('no file outside src/cli contains an option', () => {
  const files = readdirSync(fileURLToPath(source), { recursive: true, encoding: 'utf8' });
  const found = files
    .filter((name) => name.endsWith('.ts') && !name.startsWith('cli/'))
    .flatMap((name) => {
      const lines = readFileSync(new URL(name, source), 'utf8')
        .replace(ARGUMENT, '')
        .replace(OTHER_PROGRAM, '')
        .split('\n');
      return lines.filter((line) => /(?<![-\w])--[a-z]/.test(line)).map((line) => `${name}: ${line.trim()}`);
    });
  expect(found).toEqual([]);
});

test('no file outside src/cli contains a command line of the tool', () => {
  const files = readdirSync(fileURLToPath(source), { recursive: true, encoding: 'utf8' });
  const found = files
    .filter((name) => name.endsWith('.ts') && !name.startsWith('cli/'))
    .filter((name) => /['"`].*\bbitmap-tool [a-z]/.test(readFileSync(new URL(name, source), 'utf8')));
  expect(found).toEqual([]);
});
