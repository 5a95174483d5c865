/** Answers of an NBD server that QEMU would not give. The byte numbers are those of NBD's doc/proto.md. */
import { getEventListeners } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { type NbdExport, type NbdMapVisitor, visitNbdMap } from '../../../src/qemu/nbd-map.ts';
import { scratchFolder } from '../../support/scratch.ts';

const CONTEXT = 'qemu:allocation-depth';
const DISK_BYTES = 2 ** 20;

const GREETING = Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), Buffer.from([0, 3])]);
const [SET_META_CONTEXT, GO] = [10, 7];
const [ACK, META_CONTEXT, ERR_UNSUP] = [1, 4, 2 ** 31 + 1];
const CONTEXT_ID = 5;

function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
}

function optionReply(option: number, type: number, data = Buffer.alloc(0)): Buffer {
  return Buffer.concat([uint32(0x0003e889, 0x045565a9, option, type, data.length), data]);
}

/** A chunk of a structured reply; it is the last one with `flags` 1. */
function chunk(flags: number, type: number, payload: Buffer, magic = 0x668e33ef): Buffer {
  return Buffer.concat([uint32(magic, flags * 65536 + type, 0, 0, payload.length), payload]);
}

const status = (...descriptors: number[]) => chunk(1, 5, uint32(CONTEXT_ID, ...descriptors));

interface Behaviour {
  greeting?: Buffer;
  answerOption?: (option: number) => Buffer;
  answerRequest?: (client: Socket) => void;
}

/** Takes whole messages: the client sends one and waits for the answer. */
async function startServer({ greeting, answerOption, answerRequest }: Behaviour): Promise<string> {
  const path = join(await scratchFolder(), 'nbd.sock');
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client);
    client.on('error', () => {});
    client.write(greeting ?? GREETING);
    let received = Buffer.alloc(0);
    let isReady = false;
    client.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      // The flags of the client come before its first option.
      if (received.subarray(4, 12).toString() === 'IHAVEOPT') received = received.subarray(4);
      if (isReady) {
        if (received.length >= 28) answerRequest?.(client);
        received = received.subarray(28);
      } else if (received.length >= 16 && received.length >= 16 + received.readUInt32BE(12)) {
        const option = received.readUInt32BE(8);
        received = Buffer.alloc(0);
        client.write(answerOption?.(option) ?? politely(option));
        isReady = option === GO;
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    for (const client of clients) client.destroy();
    server.close();
  });
  return path;
}

function politely(option: number): Buffer {
  const context = optionReply(
    option,
    META_CONTEXT,
    Buffer.concat([uint32(CONTEXT_ID), Buffer.from(CONTEXT)]),
  );
  return Buffer.concat([...(option === SET_META_CONTEXT ? [context] : []), optionReply(option, ACK)]);
}

function exportAt(socket: string, onDelete = async () => {}): NbdExport {
  return { socket, name: 'export', context: CONTEXT, virtualSizeBytes: DISK_BYTES, delete: onDelete };
}

async function read(
  behaviour: Behaviour,
  { signal, onDelete }: { signal?: AbortSignal; onDelete?: () => Promise<void> } = {},
): Promise<number[][]> {
  const socket = await startServer(behaviour);
  const extents: number[][] = [];
  const visitor: NbdMapVisitor = { onExtent: (...extent) => extents.push(extent), onPosition: () => {} };
  await visitNbdMap(exportAt(socket, onDelete), visitor, signal);
  return extents;
}

it('a read continues after the end of an answer', async () => {
  const answers = [status(65536, 1, 131072, 0), status(DISK_BYTES - 196608, 2)];
  expect(await read({ answerRequest: (client) => client.write(answers.shift()!) })).toEqual([
    [0, 65536, 1],
    [65536, 131072, 0],
    [196608, DISK_BYTES - 196608, 2],
  ]);
});

it('a read accepts an answer in any number of chunks and pieces', async () => {
  const answer = Buffer.concat([
    chunk(0, 5, uint32(CONTEXT_ID, DISK_BYTES, 1)),
    chunk(1, 0, Buffer.alloc(0)),
  ]);
  const answerRequest = async (client: Socket) => {
    client.setNoDelay();
    for (const byte of answer) await new Promise((resolve) => client.write(Buffer.of(byte), resolve));
  };
  expect(await read({ answerRequest })).toEqual([[0, DISK_BYTES, 1]]);
});

it.each<[string, Behaviour, RegExp]>([
  ['another greeting', { greeting: Buffer.from('220 mail.example.org ready\r\n') }, /follow the protocol/],
  ['the old handshake', { greeting: Buffer.from('NBDMAGICIHAVEOPT\0\0') }, /follow the protocol/],
  [
    'an option that the server does not know',
    { answerOption: (option) => optionReply(option, ERR_UNSUP, Buffer.from('not supported')) },
    /it refuses option 8: not supported/,
  ],
  [
    'an export without the context',
    { answerOption: (option) => optionReply(option, ACK) },
    /does not offer qemu:allocation-depth/,
  ],
  [
    'an answer to another option',
    { answerOption: (option) => optionReply(option + 1, ACK) },
    /follow the protocol/,
  ],
  ['the end of the connection', { answerRequest: (client) => client.end() }, /the connection has ended/],
  [
    'the end of the connection within an answer',
    { answerRequest: (client) => client.end(status(DISK_BYTES, 1).subarray(0, 25)) },
    /the connection has ended/,
  ],
  ...[
    ['an error', chunk(1, 2 ** 15 + 1, Buffer.from('\0\0\0\x05\0\x0bno such map')), /no such map/],
    ['an error without a message', chunk(1, 2 ** 15 + 1, Buffer.from('\0\0\0\x05\0\0')), /without a message/],
    ['a simple reply', uint32(0x67446698, 0, 0, 0, 0), /follow the protocol/],
    ['no extent', chunk(1, 0, Buffer.alloc(0)), /follow the protocol/],
    ['an empty list of extents', status(), /follow the protocol/],
    ['half an extent', status(DISK_BYTES), /follow the protocol/],
    ['another context', chunk(1, 5, uint32(CONTEXT_ID + 1, DISK_BYTES, 1)), /follow the protocol/],
    ['data instead of a status', chunk(1, 1, uint32(0, 0, DISK_BYTES)), /follow the protocol/],
    ['an answer of 4 GiB', uint32(0x668e33ef, 65541, 0, 0, 2 ** 32 - 1), /follow the protocol/],
    ['an extent of 0 bytes', status(65536, 1, 0, 1), /an extent of 0 bytes at 65536/],
    ['an extent past the end', status(DISK_BYTES + 1, 1), /an extent of 1048577 bytes at 0/],
  ].map(([name, answer, message]): [string, Behaviour, RegExp] => [
    name as string,
    { answerRequest: (client) => client.write(answer as Buffer) },
    message as RegExp,
  ]),
])('%s is an error', async (_, behaviour, message) => {
  await expect(read(behaviour)).rejects.toMatchObject({
    code: 'IO_ERROR',
    message: expect.stringMatching(message),
  });
});

it('a read stops at once on an abort while the server does not answer', async () => {
  const abort = new AbortController();
  const reason = new Error('enough');
  const reading = read({ answerRequest: () => abort.abort(reason) }, { signal: abort.signal });
  await expect(reading).rejects.toBe(reason);
});

it('a read leaves no listener on the signal', async () => {
  const { signal } = new AbortController();
  await read({ answerRequest: (client) => client.write(status(DISK_BYTES, 1)) }, { signal });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it.each<[string, (client: Socket) => void]>([
  ['the end', (client) => client.write(status(DISK_BYTES, 1))],
  ['an error', (client) => client.write(status(0, 1))],
])('a read has the export deleted before it closes the connection, after %s', async (_, answer) => {
  const events: string[] = [];
  let closed = Promise.resolve();
  const answerRequest = (client: Socket) => {
    closed = new Promise((resolve) => client.once('close', () => resolve(void events.push('closed'))));
    answer(client);
  };
  const onDelete = async () => {
    // A connection that was closed would be noticed by now.
    await new Promise((resolve) => setTimeout(resolve, 50));
    events.push('deleted');
  };
  await read({ answerRequest }, { onDelete }).catch(() => {});
  await closed;
  expect(events).toEqual(['deleted', 'closed']);
});

it('a read fails if nobody listens', async () => {
  const visitor: NbdMapVisitor = { onExtent: () => {}, onPosition: () => {} };
  const reading = visitNbdMap(exportAt('/nonexistent/nbd.sock'), visitor, undefined);
  await expect(reading).rejects.toMatchObject({
    code: 'IO_ERROR',
    message: expect.stringContaining('ENOENT'),
  });
});
