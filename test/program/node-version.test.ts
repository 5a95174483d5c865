/** An unsupported version of Node.js is refused with one line. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { scratchFolder } from '../support/scratch.ts';

const program = fileURLToPath(new URL('../../bin/bitmap-tool.js', import.meta.url));

test.each(['12.22.12', '18.20.8'])('Node.js %s is refused with a message of one line', async (version) => {
  const disguise = join(await scratchFolder(), 'disguise.cjs');
  await writeFile(
    disguise,
    `Object.defineProperty(process, 'version', { value: 'v${version}' });
Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } });
`,
  );
  const result = await execa(process.execPath, ['--require', disguise, program, '--version'], {
    reject: false,
  });
  expect(result).toMatchObject({
    exitCode: 1,
    stdout: '',
    stderr: `bitmap-tool: needs Node.js 20 or newer, this is v${version}`,
  });
});
