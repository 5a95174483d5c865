/** A proxy between a client and a QMP monitor, so that a test can act at each command of the client. */
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { scratchFolder } from './scratch.ts';

export interface QmpProxy {
  readonly socket: string;
  /** Commands that have come, in their order. */
  readonly commands: string[];
}

/**
 * @param before runs to its end before a command is passed to QEMU, with its name and its number from 1 on
 * @param after the same once QEMU has answered, before the client hears of it
 */
export async function startQmpProxy(
  target: string,
  before: (command: string, number: number) => Promise<void>,
  after: (command: string, number: number) => Promise<void> = async () => {},
): Promise<QmpProxy> {
  const socket = join(await scratchFolder(), 'proxy.sock');
  const commands: string[] = [];
  const server = createServer((client) => {
    const qemu = connect(target);
    let inbox: Promise<unknown> = Promise.resolve();
    let outbox: Promise<unknown> = Promise.resolve();
    let waiting: { command: string; number: number } | undefined;
    onLine(client, (line) => {
      inbox = inbox.then(async () => {
        const { execute } = JSON.parse(line) as { execute: string };
        const number = commands.push(execute);
        await before(execute, number);
        waiting = { command: execute, number };
        qemu.write(`${line}\n`);
      });
    });
    onLine(qemu, (line) => {
      outbox = outbox.then(async () => {
        const isAnswer = waiting !== undefined && /"(return|error)":/.test(line) && !/"event":/.test(line);
        if (isAnswer) await after(waiting!.command, waiting!.number);
        client.write(`${line}\n`);
      });
    });
    for (const [one, other] of [
      [client, qemu],
      [qemu, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  onTestFinished(() => void server.close());
  return { socket, commands };
}

function onLine(stream: NodeJS.ReadableStream, take: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop()!;
    for (const line of lines) if (line.trim() !== '') take(line);
  });
}
