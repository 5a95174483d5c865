/** Long work at a terminal, which script(1) provides: progress is shown if wanted, and removed at the end. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { qemuImg } from '../../support/qemu.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const SHOW_CURSOR = '\u001b[?25h';
let folder: string;

/** Many small compressed clusters take a second or more to compare, and little room. */
beforeAll(async () => {
  folder = await makeTemporaryFolder();
  await writeFile(join(folder, 'old.raw'), Buffer.alloc(12 << 20, 'compressible '));
  const options = 'compression_type=zlib,cluster_size=512';
  const args = ['-c', '-f', 'raw', '-O', 'qcow2', '-o', options];
  await qemuImg('convert', ...args, join(folder, 'old.raw'), join(folder, 'disk.qcow2'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

interface Terminal {
  columns: number;
  options?: string;
  /** Presses ^C as soon as progress is seen. */
  interrupt?: boolean;
}

async function atTerminal({ columns, options = '', interrupt = false }: Terminal) {
  const against = `json:{"driver":"raw","file":{"driver":"file","filename":"old.raw"}}`;
  const tool = `'${process.execPath}' '${program}' verify ${options} disk.qcow2 '#ALLOCATED' --against '${against}'`;
  const run = execa('script', ['-qec', `stty cols ${columns}; ${tool}`, '/dev/null'], {
    cwd: folder,
    reject: false,
    env: { NO_COLOR: '1' },
  });
  let shown = '';
  run.stdout.on('data', (data) => {
    shown += data;
    if (interrupt && shown.includes(' %')) run.stdin.end('\u0003');
  });
  if (!interrupt) run.stdin.end();
  const { exitCode } = await run;
  return { exitCode, shown };
}

describe('progress', () => {
  test('is shown in one line and removed at the end', async () => {
    const { exitCode, shown } = await atTerminal({ columns: 100 });
    expect(exitCode).toBe(0);
    expect(shown).toMatch(/comparing disk\.qcow2: \d+ %, [\d.]+ .?i?B of 12 MiB, [\d.]+ .iB\/s, \d+ s left/);
    const [, result] = shown.split(SHOW_CURSOR);
    expect(result).toMatch(/^disk\.qcow2: #ALLOCATED covers every difference/);
  });

  test('fits a narrow terminal', async () => {
    const { exitCode, shown } = await atTerminal({ columns: 12 });
    expect(exitCode).toBe(0);
    expect(shown).toMatch(/ \d+ %/);
    // It moves up no line, so it never was in two.
    expect(shown).not.toContain('\u001b[1A');
  });

  test.each([
    { columns: 0, options: '' },
    { columns: 80, options: '--quiet' },
    { columns: 80, options: '--json' },
    { columns: 80, options: '--no-progress' },
  ])('is not shown for: $columns columns $options', async (terminal) => {
    const { exitCode, shown } = await atTerminal(terminal);
    expect(exitCode).toBe(0);
    expect(shown).not.toContain('comparing');
    expect(shown).not.toContain('\u001b');
  });
});

test('^C during progress restores the terminal', async () => {
  const { exitCode, shown } = await atTerminal({ columns: 80, interrupt: true });
  expect(shown).toContain('interrupted by SIGINT; nothing was written');
  expect(shown).toContain(SHOW_CURSOR);
  expect(exitCode).toBe(130);
});
