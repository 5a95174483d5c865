/** The commands that the documents show print what the documents show. They run on copies of fixtures/chain. */
import { cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { scratchFolder } from '../../support/scratch.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
/** A block that begins with a command. */
const TRANSCRIPT = /(?<=^```\n)\$ bitmap-tool .*?(?=^```$)/gms;
const LEFT_OUT = '…\n';

const names = ['README.md', ...(await readdir(join(root, 'docs'))).map((name) => join('docs', name))];
const pages = await Promise.all(
  names
    .filter((name) => name.endsWith('.md'))
    .map(async (name) => ({ name, text: await readFile(join(root, name), 'utf8') })),
);
const withTranscripts = pages.filter(({ text }) => text.search(TRANSCRIPT) >= 0);

test.each(withTranscripts)(
  '$name shows what the program prints ("npm run docs" corrects it)',
  async (page) => {
    let text = page.text;
    for (const [transcript] of page.text.matchAll(TRANSCRIPT)) {
      text = text.replace(transcript, await printed(transcript));
    }
    await expect(text).toMatchFileSnapshot(join(root, page.name));
  },
);

test('some pages contain transcripts', () => {
  expect(withTranscripts.map(({ name }) => name)).toContain('README.md');
});

/** The same transcript with the output of today. */
async function printed(transcript: string): Promise<string> {
  const folder = await scratchFolder();
  await cp(join(root, 'fixtures', 'chain'), folder, { recursive: true });
  const commands = transcript.split(/^(?=\$ )/m);
  let result = '';
  for (const shown of commands) {
    const command = shown.slice('$ '.length, shown.indexOf('\n'));
    const { all } = await execa('sh', ['-c', command.replace(/^bitmap-tool/, '"$NODE" "$PROGRAM"')], {
      cwd: folder,
      all: true,
      reject: false,
      stdin: 'ignore',
      env: { NODE: process.execPath, PROGRAM: join(root, 'bin', 'bitmap-tool.js'), NO_COLOR: '1' },
    });
    const output = `$ ${command}\n${all === '' ? '' : `${all}\n`}`;
    // A document may leave out the last lines.
    const lines = shown.endsWith(LEFT_OUT) ? shown.split('\n').length - 2 : Number.POSITIVE_INFINITY;
    result +=
      lines === Number.POSITIVE_INFINITY ? output : `${output.split('\n').slice(0, lines).join('\n')}\n…\n`;
  }
  return result;
}
