/** The output after an error of the program itself. */
import { CommanderError } from 'commander';
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

test('an option that does not exist is reported in one line, and a similar one in the hint', () => {
  const error = new CommanderError(
    2,
    'commander.unknownOption',
    "error: unknown option '--chekpoints'\n(Did you mean --checkpoints?)",
  );
  expect(errorReport(error, NO_COMMAND, false)).toBe(
    `bitmap-tool: unknown option '--chekpoints'\nDid you mean --checkpoints? See "bitmap-tool --help".\n`,
  );
  expect(JSON.parse(errorReport(error, NO_COMMAND, true))).toEqual({
    error: { code: 'USAGE', message: "unknown option '--chekpoints'", hint: 'Did you mean --checkpoints?' },
  });
});
