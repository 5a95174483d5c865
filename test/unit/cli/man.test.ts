/**
 * The man page and the help: every command, every option, and examples.
 */
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { loadCommands } from '../../../src/cli/command-table.ts';
import { commandTree } from '../../../src/cli/command-tree.ts';
import { manPage } from '../../../src/cli/man/page.ts';
import { buildProgram } from '../../../src/cli/program.ts';

const commands = await loadCommands();
const program = buildProgram(commands, async () => {});
const source = manPage(commandTree(commands), '1.2.3');
/** Without the font changes and escapes. */
const text = source
  .replace(/\\f[BIR]/g, '')
  .replaceAll('\\-', '-')
  .replaceAll('\\(aq', "'");

/** What --help prints. */
function helpOf(command: Command): string {
  let printed = '';
  command.configureOutput({ writeOut: (part) => (printed += part) }).outputHelp();
  return printed;
}

test('every command and option is in the man page', () => {
  expect(program.commands.length).toBeGreaterThan(10);
  for (const command of program.commands) {
    expect(text).toContain(`.SS "${command.name()}"\n`);
    const flags = Array.from(helpOf(command).matchAll(/^ {2}((?:-\w, )?--[a-z-]+|-\w)/gm));
    for (const [, option] of flags) expect(text).toContain(`.TP\n${option}`);
  }
  for (const title of ['Name', 'Synopsis', 'Exit status', 'Files', 'Notes', 'Examples'])
    expect(text).toContain(`.SH "${title}"\n`);
});

test('every command has examples in its help and in the man page', () => {
  for (const command of program.commands) {
    const help = helpOf(command);
    const lines = help.slice(help.search(/\nExamples?:\n/)).split('\n');
    const examples = lines.filter((line) => line.includes(`bitmap-tool ${command.name()}`));
    expect(examples.length, command.name()).toBeGreaterThan(0);
    for (const example of examples)
      expect(text).toContain(example.trim().replaceAll('~', '\\(ti').replaceAll('^', '\\(ha'));
  }
});

test('no line of text is a roff request by accident, and all characters are ASCII', () => {
  expect(source).toMatch(/^\.TH "BITMAP\\-TOOL" 1 /);
  expect(source.match(/[^\n -~]/)).toBeNull();
  for (const line of source.trimEnd().split('\n'))
    expect(line).toMatch(/^(\.(TH|SH|SS|TP|PP|RS|RE|nf|fi|br)( |$)|[^.'])/);
});
