/** A running QEMU or qemu-storage-daemon with open images, controlled through QMP. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { onTestFinished } from 'vitest';
import type { Qmp } from '../../src/qemu/qmp.ts';
import { openQmpSocket } from '../../src/qemu/qmp-socket.ts';
import { type ExternalProgram, howToInstall } from './external-program.ts';
import { scratchFolder } from './scratch.ts';

export interface RunningQemu {
  /** The monitor that is for the tool; the test itself uses another one. */
  readonly socket: string;
  readonly qmp: Qmp;
  /** Runs a qemu-io command on a node, as a guest's write would come; of a QEMU only. */
  write(node: string, command: string): Promise<void>;
  /** The bitmaps of a node by name. */
  bitmaps(node: string): Promise<Record<string, BitmapState>>;
  /** An orderly end, at which bitmaps are stored. */
  stop(): Promise<void>;
  /** kill -9 */
  crash(): Promise<void>;
}

interface BitmapState {
  recording: boolean;
  persistent: boolean;
  busy: boolean;
  inconsistent?: boolean;
  granularity: number;
  count: number;
}

type BlockOptions = Record<string, unknown>;

/** The options of a qcow2 image, in two nodes as libvirt makes them: NAME and NAME-file. */
export function qcow2Nodes(name: string, filename: string, more: BlockOptions = {}): BlockOptions[] {
  return [
    {
      driver: 'file',
      'node-name': `${name}-file`,
      filename,
      ...(more['read-only'] === true && { 'read-only': true }),
    },
    { driver: 'qcow2', 'node-name': name, file: `${name}-file`, ...more },
  ];
}

/** Has no processor, so that nothing runs but QEMU itself. */
const EMPTY_MACHINE = ['-machine', 'none', '-S'];

/** Runs until the test ends, with these block nodes. */
export async function startQemu(
  nodes: readonly BlockOptions[],
  kind: 'qemu-system-x86_64' | 'qemu-storage-daemon' = 'qemu-system-x86_64',
  machineOptions: readonly string[] = EMPTY_MACHINE,
  /** A program that starts QEMU, with its arguments. */
  wrapper: readonly string[] = [],
): Promise<RunningQemu> {
  const folder = await scratchFolder();
  const [socket, ownSocket] = [join(folder, 'tool.sock'), join(folder, 'test.sock')];
  const isDaemon = kind === 'qemu-storage-daemon';
  const monitors = [socket, ownSocket].flatMap((path, index) =>
    isDaemon
      ? ['--chardev', `socket,id=c${index},path=${path},server=on,wait=off`, '--monitor', `chardev=c${index}`]
      : ['-qmp', `unix:${path},server=on,wait=off`],
  );
  const machine = isDaemon ? [] : ['-nodefaults', '-display', 'none', ...machineOptions];
  const blocks = nodes.flatMap((node) => [isDaemon ? '--blockdev' : '-blockdev', JSON.stringify(node)]);
  const [program, ...args] = [...wrapper, kind, ...machine, ...blocks, ...monitors] as [string, ...string[]];
  const process = execa(program, args, {
    stdin: 'ignore',
    reject: false,
    cwd: folder,
  });
  let isRunning = true;
  const ended = process.then((result) => {
    isRunning = false;
    return result;
  });
  onTestFinished(async () => {
    process.kill('SIGKILL');
    await ended;
  });
  const qmp = await connected(
    ownSocket,
    () => isRunning,
    async () => {
      const { code, message } = await ended;
      return code === 'ENOENT' ? howToInstall(kind as ExternalProgram) : (message ?? 'it ended');
    },
  );
  return {
    socket,
    qmp,
    async write(node, command) {
      const answer = await qmp.execute<string>('human-monitor-command', {
        'command-line': `qemu-io ${node} "${command}"`,
      });
      if (/failed|error/i.test(answer)) throw new Error(`${command}: ${answer}`);
    },
    async bitmaps(node) {
      const infos = await qmp.execute<
        { 'node-name': string; 'dirty-bitmaps'?: (BitmapState & { name: string })[] }[]
      >('query-named-block-nodes', { flat: true });
      const found = infos.find((info) => info['node-name'] === node)?.['dirty-bitmaps'] ?? [];
      return Object.fromEntries(found.map(({ name, ...state }) => [name, state]));
    },
    async stop() {
      await qmp.execute('quit').catch(() => {});
      await ended;
    },
    async crash() {
      process.kill('SIGKILL');
      await ended;
    },
  };
}

async function connected(
  socket: string,
  isRunning: () => boolean,
  complaint: () => Promise<string>,
): Promise<Qmp> {
  while (isRunning()) {
    try {
      return await openQmpSocket(socket);
    } catch {
      await sleep(5);
    }
  }
  throw new Error(await complaint());
}

/** What is in QEMU that none of the test has put there. */
export async function leftIn({ qmp }: RunningQemu): Promise<string[]> {
  const infos = await qmp.execute<{ 'node-name': string; 'dirty-bitmaps'?: { name: string }[] }[]>(
    'query-named-block-nodes',
    { flat: true },
  );
  const exports = await qmp.execute<{ id: string }[]>('query-block-exports');
  const names = [
    ...infos.flatMap((info) => [info['node-name'], ...(info['dirty-bitmaps'] ?? []).map(({ name }) => name)]),
    ...exports.map(({ id }) => id),
  ];
  const left = names.filter((name) => name.startsWith('bitmap-tool'));
  // One that runs would refuse to be started.
  const probe = await qmp
    .execute('nbd-server-start', { addr: { type: 'unix', data: { path: `${process.pid}.probe` } } })
    .then(
      async () => {
        await qmp.execute('nbd-server-stop');
        return [];
      },
      () => ['NBD server'],
    );
  return [...left, ...probe];
}
