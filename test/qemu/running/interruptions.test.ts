/** The job in a running QEMU is interrupted. No incomplete bitmap stays, and the next run removes what was left. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { qemuBitmaps, qemuImg, qemuIo } from '../../support/qemu.ts';
import { startQmpProxy } from '../../support/qmp-proxy.ts';
import { leftIn, qcow2Nodes, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));

function startTool(args: readonly string[]) {
  return execa(process.execPath, [program, ...args], { reject: false, stdin: 'ignore' });
}

/** Holds 2 MiB. */
async function writtenImage(): Promise<string> {
  const image = join(await scratchFolder(), 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '64M');
  await qemuIo(image, 'write -q -P 1 0 2M');
  return image;
}

/** Commands that change nothing in QEMU leave nothing to be taken away either. */
const isChange = (command: string) => !command.startsWith('query-') && !command.startsWith('x-debug-');

it.each(['SIGKILL', 'SIGTERM'] as const)(
  'leaves no incomplete bitmap if %s arrives at any command that changes QEMU',
  async (signal) => {
    const image = await writtenImage();
    const qemu = await startQemu(qcow2Nodes('disk', image));
    let at = 0;
    let tool: ReturnType<typeof startTool> | undefined;
    const proxy = await startQmpProxy(qemu.socket, async (_, number) => {
      if (number !== at || tool === undefined) return;
      tool.kill(signal);
      // What a signal meets must not be a matter of who is faster.
      await (signal === 'SIGKILL' ? tool : sleep(100));
    });
    const args = ['create-from', '--allocated', '-n', 'c1', '--qmp', proxy.socket, image];
    await bitmapToolJson(...args);
    const commands = proxy.commands.splice(0);
    await bitmapToolJson('remove', '--qmp', qemu.socket, image, 'c1');
    const transaction = commands.indexOf('transaction') + 1;
    for (const [index, command] of commands.entries()) {
      if (!isChange(command) || index === 0) continue;
      at = index + 1;
      tool = startTool(args);
      const { exitCode } = await tool;
      tool = undefined;
      proxy.commands.splice(0);
      const { c1 } = await qemu.bitmaps('disk');
      const isThere = signal === 'SIGTERM' ? at >= transaction : at > transaction;
      expect({ command, c1 }).toMatchObject({
        command,
        c1: isThere ? { count: 2 ** 21, recording: true } : undefined,
      });
      if (signal === 'SIGTERM') {
        expect(exitCode).toBe(143);
        expect(await leftIn(qemu)).toEqual([]);
      }
      // The next run finds its way, and takes away what this one has left.
      await bitmapToolJson('create-from', '--allocated', '-n', 'next', '--qmp', qemu.socket, image);
      expect(await leftIn(qemu)).toEqual([]);
      await bitmapToolJson(
        'remove',
        '--qmp',
        qemu.socket,
        image,
        'next',
        ...(c1 === undefined ? [] : ['c1']),
      );
    }
  },
);

it('reports an end of QEMU with exit code 1', async () => {
  const image = await writtenImage();
  const qemu = await startQemu(qcow2Nodes('disk', image));
  const proxy = await startQmpProxy(qemu.socket, async (command) => {
    if (command === 'transaction') await qemu.crash();
  });
  const { exitCode, stderr } = await bitmapTool('create-from', '--allocated', '--qmp', proxy.socket, image);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('the connection to QEMU has ended');
});

it('of two concurrent runs, at least one succeeds and the other may be refused', async () => {
  const image = await writtenImage();
  const qemu = await startQemu(qcow2Nodes('disk', image));
  const run = (name: string) =>
    bitmapTool('create-from', '--allocated', '-n', name, '--qmp', qemu.socket, image);
  const results = await Promise.all([run('a'), run('b')]);
  for (const { exitCode } of results) expect([0, 5]).toContain(exitCode);
  expect(results.some(({ exitCode }) => exitCode === 0)).toBe(true);
  const bitmaps = await qemu.bitmaps('disk');
  expect(Object.keys(bitmaps)).toHaveLength(results.filter(({ exitCode }) => exitCode === 0).length);
  expect(await leftIn(qemu)).toEqual([]);
});

/** Runs create-from, and makes a snapshot before one of its commands. */
async function snapshotBefore(moment: string) {
  const image = await writtenImage();
  const overlay = `${image}.overlay`;
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay);
  const qemu = await startQemu(qcow2Nodes('disk', image));
  const proxy = await startQmpProxy(qemu.socket, async (command) => {
    if (command !== moment) return;
    for (const node of qcow2Nodes('over', overlay, { backing: null }))
      await qemu.qmp.execute('blockdev-add', node);
    await qemu.qmp.execute('blockdev-snapshot', { node: 'disk', overlay: 'over' });
  });
  const args = ['create-from', '--json', '--allocated', '-n', 'c1', '--qmp', proxy.socket, image];
  const { exitCode, error } = await bitmapTool(...args);
  return { image, overlay, qemu, exitCode, message: error?.message };
}

it('changes nothing if a snapshot is made while the image is read', async () => {
  const { image, qemu, exitCode, message } = await snapshotBefore('block-export-add');
  expect({ exitCode, message }).toEqual({
    exitCode: 5,
    message: `${image}: its chain has changed in QEMU meanwhile; nothing was changed`,
  });
  expect(await qemu.bitmaps('disk')).toEqual({});
  expect(await leftIn(qemu)).toEqual([]);
});

it('does not call a bitmap good if a snapshot came before the transaction, and QEMU does not store it', async () => {
  const { image, overlay, qemu, exitCode, message } = await snapshotBefore('transaction');
  const changed = `${image}: its chain has changed in QEMU meanwhile`;
  expect([
    { exitCode: 1, message: `${changed}; QEMU may not store its changed bitmaps` },
    // QEMU 11.1 refuses the transaction.
    { exitCode: 5, message: `${changed}; nothing was changed` },
  ]).toContainEqual({ exitCode, message });
  expect(await leftIn(qemu)).toEqual([]);
  await qemu.stop();
  expect(await qemuBitmaps(image)).toEqual([]);
  expect(await qemuBitmaps(overlay)).toEqual([]);
});
