/** The output after an error of the program itself. */
import { expect, test } from 'vitest';
import { NO_COMMAND } from '../../../src/cli/command-at-hand.ts';
import { errorReport, exitCodeOf } from '../../../src/cli/errors.ts';

const bug = new RangeError('no such index');

test('a bug is reported with its stack, the versions, and advice for a report', () => {
  const lines = errorReport(bug, NO_COMMAND, false).trimEnd().split('\n');
  expect(lines[0]).toBe('RangeError: no such index');
  expect(lines.at(-1)).toContain(`Node.js ${process.version}`);
  expect(lines.at(-1)).toMatch(/Please report it where you got the program, .*"bitmap-tool inspect IMAGE"/);
  expect(exitCodeOf(bug, undefined)).toBe(1);
});

test('with --json a bug is one document with the stack and the same advice', () => {
  const { error } = JSON.parse(errorReport(bug, NO_COMMAND, true));
  expect(error).toMatchObject({ code: 'BUG', message: 'no such index' });
  expect(error.stack).toContain('errors.test.ts');
  expect(error.hint).toContain('Please report it');
});
