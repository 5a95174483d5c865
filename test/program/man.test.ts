/**
 * The man page and the help: every command, every option, and examples.
 */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { bitmapTool } from '../support/bitmap-tool.ts';

/** The page as text, without what makes it bold. */
async function page(): Promise<string> {
  const source = await readFile(new URL('../../dist/man/bitmap-tool.1', import.meta.url), 'utf8');
  return source
    .replace(/\\f[BIR]/g, '')
    .replaceAll('\\-', '-')
    .replaceAll('\\(aq', "'");
}

async function commands(): Promise<string[]> {
  const { stdout } = await bitmapTool('--help');
  const list = stdout.slice(stdout.indexOf('Commands:'));
  return Array.from(list.matchAll(/^ {2}([a-z][a-z-]*) /gm), ([, name]) => name!).filter(
    (name) => name !== 'help' && name !== 'bitmap-tool',
  );
}

test('every command and option is in the man page', async () => {
  const text = await page();
  for (const command of await commands()) {
    expect(text).toContain(`.SS "${command}"\n`);
    const help = (await bitmapTool(command, '--help')).stdout;
    const flags = Array.from(help.matchAll(/^ {2}((?:-\w, )?--[a-z-]+|-\w)/gm));
    for (const [, option] of flags) expect(text).toContain(`.TP\n${option}`);
  }
  for (const title of ['Name', 'Synopsis', 'Exit status', 'Files', 'Notes', 'Examples'])
    expect(text).toContain(`.SH "${title}"\n`);
});

test('every command has examples in its help, and they are in the man page', async () => {
  const text = await page();
  for (const command of await commands()) {
    const { stdout } = await bitmapTool(command, '--help');
    const lines = stdout.slice(stdout.search(/\nExamples?:\n/)).split('\n');
    const examples = lines.filter((line) => line.includes(`bitmap-tool ${command}`));
    expect(examples.length, command).toBeGreaterThan(0);
    for (const example of examples)
      expect(text).toContain(example.trim().replaceAll('~', '\\(ti').replaceAll('^', '\\(ha'));
  }
});

test('no line of text begins as a request by accident, and all is ASCII', async () => {
  const source = await readFile(new URL('../../dist/man/bitmap-tool.1', import.meta.url), 'utf8');
  expect(source).toMatch(/^\.TH "BITMAP\\-TOOL" 1 /);
  expect(source.match(/[^\n -~]/)).toBeNull();
  for (const line of source.trimEnd().split('\n'))
    expect(line).toMatch(/^(\.(TH|SH|SS|TP|PP|RS|RE|nf|fi|br)( |$)|[^.'])/);
});
