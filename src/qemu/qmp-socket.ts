/**
 * QMP over a Unix socket of a QEMU or a qemu-storage-daemon.
 */
import { readlink } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { FailedError, InUseError, RefusedError } from '../errors.ts';
import { processBehindSocket } from './process-behind-socket.ts';
import { parseQmpMessage, type Qmp, QmpError, type QmpMessage } from './qmp.ts';

/** A monitor greets at once. A monitor that already serves another client does not greet. */
const GREETING_TIMEOUT_MS = 5_000;

/** Far above the length of the longest answer, which is that of query-named-block-nodes. */
const MAX_LINE_CHARACTERS = 256 * 2 ** 20;

/**
 * @throws FailedError when nothing listens there
 * @throws InUseError when the monitor serves another client
 * @throws RefusedError when it is not a QMP monitor
 */
export async function openQmpSocket(path: string): Promise<Qmp> {
  const socket = await connected(path);
  const lines = lineReader(path, socket);
  try {
    const greeting = await withTimeout(lines.next(), GREETING_TIMEOUT_MS);
    if (greeting === 'timeout') throw monitorInUse(path);
    if (greeting?.QMP === undefined) throw noMonitor(path);
    const processId = await processBehindSocket(path);
    const qmp = converse({ name: path, folder: await folderOf(processId), processId }, socket, lines);
    await qmp.execute('qmp_capabilities');
    return qmp;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const refuse = (cause: NodeJS.ErrnoException) => reject(connectError(path, cause));
    socket.once('error', refuse);
    socket.once('connect', () => {
      socket.off('error', refuse);
      resolve(socket);
    });
  });
}

function connectError(path: string, cause: NodeJS.ErrnoException): FailedError {
  const context = { file: path };
  switch (cause.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new FailedError('FILE_NOT_FOUND', `${path}: no such socket`, { cause, context });
    case 'EACCES':
    case 'EPERM':
      return new FailedError('ACCESS_DENIED', `${path}: may not be connected to (${cause.code})`, {
        cause,
        context,
        remedy: { kind: 'run-as-qemu-user' },
      });
    case 'ECONNREFUSED':
      return new FailedError('IO_ERROR', `${path}: no QEMU listens on this socket`, {
        cause,
        context,
        remedy: { kind: 'start-monitor' },
      });
    default:
      return new FailedError('IO_ERROR', `${path}: could not connect: ${cause.message}`, { cause, context });
  }
}

interface Lines {
  /** The next message; undefined when the connection has ended. */
  next(): Promise<QmpMessage | undefined>;
}

function lineReader(path: string, socket: Socket): Lines {
  const messages: QmpMessage[] = [];
  const pieces: string[] = [];
  let held = 0;
  let ended: { readonly error?: unknown } | undefined;
  let waiting: (() => void) | undefined;
  const end = (error?: unknown) => {
    ended ??= error === undefined ? {} : { error };
    waiting?.();
  };
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = text.split('\n');
    for (const [index, line] of lines.entries()) {
      pieces.push(line);
      held += line.length;
      if (held > MAX_LINE_CHARACTERS) return end(noMonitor(path));
      if (index === lines.length - 1) break;
      const whole = pieces.splice(0).join('').trim();
      held = 0;
      if (whole === '') continue;
      const message = parseQmpMessage(whole);
      if (message === undefined) return end(noMonitor(path));
      if (message.event === undefined) messages.push(message);
    }
    waiting?.();
  });
  socket.on('error', (cause) => end(lost(path, cause)));
  socket.on('close', () => end());
  return {
    async next() {
      while (messages.length === 0 && ended === undefined) {
        await new Promise<void>((resolve) => {
          waiting = resolve;
        });
      }
      const message = messages.shift();
      if (message === undefined && ended?.error !== undefined) throw ended.error;
      return message;
    },
  };
}

function converse(about: Omit<Qmp, 'execute' | 'close'>, socket: Socket, lines: Lines): Qmp {
  const path = about.name;
  let count = 0;
  // A monitor takes one command at a time.
  let last: Promise<unknown> = Promise.resolve();

  async function ask(command: string, args: object | undefined): Promise<unknown> {
    const id = ++count;
    socket.write(`${JSON.stringify({ execute: command, ...(args && { arguments: args }), id })}\n`);
    for (;;) {
      const message = await lines.next();
      if (message === undefined) throw lost(path);
      if (message.id !== id) continue;
      if (message.error !== undefined) throw new QmpError(path, command, message.error);
      return message.return;
    }
  }

  return {
    ...about,
    execute<T>(command: string, args?: object): Promise<T> {
      const answer = last.then(() => ask(command, args));
      last = answer.catch(() => {});
      return answer as Promise<T>;
    },
    async close() {
      await last;
      if (socket.closed) return;
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.destroy();
      await closed;
    },
  };
}

async function folderOf(processId: number | undefined): Promise<string | undefined> {
  return processId === undefined ? undefined : readlink(`/proc/${processId}/cwd`).catch(() => undefined);
}

function lost(path: string, cause?: unknown): FailedError {
  return new FailedError('IO_ERROR', `${path}: the connection to QEMU has ended`, {
    cause,
    context: { file: path },
    remedy: { kind: 'check-after-crash' },
  });
}

function noMonitor(path: string): RefusedError {
  return new RefusedError('UNSUPPORTED', `${path}: what listens there does not speak QMP`, {
    remedy: { kind: 'name-qmp-monitor' },
    context: { file: path },
  });
}

function monitorInUse(path: string): InUseError {
  return new InUseError(`${path}: the monitor sends no greeting: it serves another client`, {
    remedy: { kind: 'free-monitor' },
    context: { file: path },
  });
}

async function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T | 'timeout'> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<'timeout'>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
