/** A command `virsh` for shell scripts, which passes its arguments to the one virsh that stays open. */
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Answer, Virsh } from './virsh.ts';

interface Request {
  folder: string;
  words: string[];
}

/** Puts the command into a folder, for the time of the test. */
export async function makeVirshCommand(virsh: Virsh, folder: string): Promise<void> {
  const socket = join(folder, 'virsh.sock');
  const server = createServer({ allowHalfOpen: true }, (client) => {
    let request = '';
    client.setEncoding('utf8').on('data', (piece: string) => {
      request += piece;
    });
    client.on('end', async () => client.end(JSON.stringify(await answer(virsh, JSON.parse(request)))));
  });
  await mkdir(folder, { recursive: true });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  onTestFinished(() => void server.close());
  const script = `#!/usr/bin/env node
const server = require('node:net').connect(${JSON.stringify(socket)});
server.end(JSON.stringify({ folder: process.cwd(), words: process.argv.slice(2) }));
let text = '';
server.on('data', (piece) => (text += piece)).on('end', () => {
  const { ok, output } = JSON.parse(text);
  if (output !== '') (ok ? console.log : console.error)(output);
  process.exitCode = ok ? 0 : 1;
});
`;
  await writeFile(join(folder, 'virsh'), script, { mode: 0o755 });
}

async function answer(virsh: Virsh, { folder, words }: Request): Promise<Answer> {
  await virsh.run('cd', folder);
  return await virsh.attempt(...words);
}
