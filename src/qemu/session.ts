/**
 * One session in a QEMU: the temporary objects that a run adds to QEMU, and their removal at its end.
 */
import { chown, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FailedError, InUseError } from '../errors.ts';
import { removeOwn } from './own-files.ts';
import { newRunName } from './own-names.ts';
import { type Qmp, QmpError } from './qmp.ts';
import { refuseBusyQemu } from './refuse-busy.ts';
import { tidyUp } from './tidy-up.ts';

export interface Session {
  readonly qmp: Qmp;
  /** A unique name for a bitmap, a node or an export. */
  ownName(): string;
  /** The path of a file of this run, in a folder where QEMU can read and write. */
  ownPath(suffix: string): string;
  /** Registers `undo` to run when the session ends. The last one registered runs first. */
  onClose(undo: () => Promise<unknown>): void;
  /**
   * Starts an NBD server on a socket of this session and returns its path. The server runs until the session
   * ends.
   */
  nbdSocket(): Promise<string>;
  /**
   * Removes everything that this run has added to QEMU.
   *
   * @throws FailedError with the errors of the removals that failed
   */
  close(): Promise<void>;
}

export interface SessionPlace {
  /** A folder where QEMU can read and write. Without it, the session makes a new folder. */
  readonly folder?: string | undefined;
  /** A file whose owner is the user of QEMU, such as its socket. */
  readonly ownedByQemu?: string | undefined;
}

/** sockaddr_un has 108 bytes for a path, one of them zero. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Removes the leftovers of killed runs from this QEMU, and begins a session.
 *
 * @throws InUseError while QEMU is busy with something that must not be disturbed
 */
export async function openSession(qmp: Qmp, place: SessionPlace): Promise<Session> {
  await tidyUp(qmp, place.folder);
  await refuseBusyQemu(qmp);

  const run = await newRunName();
  const undos: (() => Promise<unknown>)[] = [];
  const folder = place.folder ?? (await newFolder(run, place));
  if (place.folder === undefined) undos.push(() => removeOwn(folder, run));
  let socket: Promise<string> | undefined;
  let names = 0;
  const session: Session = {
    qmp,
    ownName: () => `${run}-${(names++).toString(36)}`,
    ownPath: (suffix) => join(folder, `${run}.${suffix}`),
    onClose: (undo) => void undos.push(undo),
    nbdSocket() {
      const started = socket ?? startNbdServer(session);
      socket = started;
      // A server that did not start must not be stopped.
      started.catch(() => {
        socket = undefined;
      });
      return started;
    },
    async close() {
      const failures: string[] = [];
      let isRunning: Promise<boolean> | undefined;
      // Stopping the server also removes the exports, which frees the nodes and bitmaps that they use.
      const stop = socket === undefined ? [] : [() => qmp.execute('nbd-server-stop')];
      for (const undo of [...stop, ...undos.splice(0).reverse()]) {
        await undo().catch(async (error: unknown) => {
          // If QEMU has ended, its objects are gone too. The connection alone may also be lost.
          if (error instanceof FailedError) {
            isRunning ??= isStillRunning(qmp);
            if (!(await isRunning)) return;
          }
          failures.push((error as Error).message);
        });
      }
      if (failures.length === 0) return;
      throw new FailedError('IO_ERROR', `${qmp.name}: could not be tidied up: ${failures.join('; ')}`, {
        remedy: { kind: 'run-again-to-tidy-up' },
        context: { qemu: qmp.name },
      });
    },
  };
  return session;
}

/** The time in which a process that ends disappears. */
const END_MS = 1000;

/** False if it is unknown. */
async function isStillRunning({ processId }: Qmp): Promise<boolean> {
  for (const until = Date.now() + END_MS; Date.now() < until; await sleep(50)) {
    const state = await readFile(`/proc/${processId}/stat`, 'utf8').catch(() => undefined);
    // A zombie has closed its images.
    if (state === undefined || / Z /.test(state.slice(state.lastIndexOf(')')))) return false;
  }
  return true;
}

async function newFolder(run: string, { ownedByQemu }: SessionPlace): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `${run}-`));
  if (process.getuid?.() !== 0 || ownedByQemu === undefined) return folder;
  // QEMU must be able to create a socket in the folder.
  const owner = await stat(ownedByQemu).catch(() => undefined);
  if (owner !== undefined) await chown(folder, owner.uid, owner.gid);
  return folder;
}

async function startNbdServer(session: Session): Promise<string> {
  const { qmp } = session;
  const path = session.ownPath('sock');
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new FailedError(
      'IO_ERROR',
      `${path}: too long for a socket: ${MAX_SOCKET_PATH_BYTES} bytes are allowed`,
      {
        remedy: { kind: 'shorten-temporary-path' },
        context: { file: path },
      },
    );
  }
  // This node shows a later run that a run of this tool has started the server.
  const mark = session.ownName();
  await qmp.execute('blockdev-add', { driver: 'null-co', 'node-name': mark, size: 512 });
  session.onClose(() => qmp.execute('blockdev-del', { 'node-name': mark }));
  try {
    await qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path } } });
  } catch (error) {
    if (!(error instanceof QmpError) || !/already running/.test(error.description)) throw error;
    throw new InUseError(`${qmp.name}: its NBD server is in use; nothing was changed`, {
      remedy: { kind: 'wait-for-nbd-server' },
      context: { qemu: qmp.name },
      cause: error,
    });
  }
  session.onClose(() => rm(path, { force: true }));
  return path;
}
