/** States of a running QEMU in which a command refuses with its exit code and changes nothing. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openQmpSocket } from '../../../src/qemu/qmp-socket.ts';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuImg } from '../../support/qemu.ts';
import { qcow2Nodes, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

async function image(...options: string[]): Promise<string> {
  const path = join(await scratchFolder(), 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', ...options, path, '16M');
  return path;
}

async function refused(socket: string, disk: string) {
  const args = ['create-from', '--json', '--allocated', '-n', 'c1', '--qmp', socket, disk];
  const { exitCode, error } = await bitmapTool(...args);
  return { exitCode, message: error?.message };
}

it('refuses while the NBD server is in use, and does not stop it', async () => {
  const disk = await image();
  const qemu = await startQemu(qcow2Nodes('disk', disk));
  const path = join(await scratchFolder(), 'other.sock');
  await qemu.qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path } } });
  await qemu.qmp.execute('block-export-add', {
    type: 'nbd',
    id: 'other',
    'node-name': 'disk',
    name: 'other',
  });
  expect(await refused(qemu.socket, disk)).toEqual({
    exitCode: 5,
    message: `${qemu.socket}: its NBD server is in use; nothing was changed`,
  });
  expect(await qemu.bitmaps('disk')).toEqual({});
  expect(await qemu.qmp.execute('query-block-exports')).toHaveLength(1);
});

it('refuses while a bitmap is busy', async () => {
  const disk = await image();
  await qemuImg('bitmap', '--add', '--disable', disk, 'exported');
  const qemu = await startQemu(qcow2Nodes('disk', disk));
  const path = join(await scratchFolder(), 'other.sock');
  await qemu.qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path } } });
  const options = { type: 'nbd', id: 'other', 'node-name': 'disk', name: 'other', bitmaps: ['exported'] };
  await qemu.qmp.execute('block-export-add', options);
  expect(await refused(qemu.socket, disk)).toEqual({
    exitCode: 5,
    message: `${qemu.socket}: ${disk}: a job or an export uses the bitmap "exported"; nothing was changed`,
  });
});

it('refuses while a job runs', async () => {
  const disk = await image();
  const target = await image();
  const qemu = await startQemu([...qcow2Nodes('disk', disk), ...qcow2Nodes('target', target)]);
  const backup = { 'job-id': 'backup', device: 'disk', target: 'target', sync: 'none' };
  await qemu.qmp.execute('blockdev-backup', backup);
  const { exitCode, message } = await refused(qemu.socket, disk);
  expect(exitCode).toBe(5);
  expect(message).toContain('the backup job "backup" is');
});

it('refuses if another client has the monitor', async () => {
  const disk = await image();
  const qemu = await startQemu(qcow2Nodes('disk', disk));
  const other = await openQmpSocket(qemu.socket);
  onTestFinished(() => other.close());
  expect(await refused(qemu.socket, disk)).toEqual({
    exitCode: 5,
    message: `${qemu.socket}: the monitor sends no greeting: it serves another client`,
  });
});

it('refuses an image of version 2 and an image that QEMU does not have open', async () => {
  const old = await image('-o', 'compat=0.10');
  const qemu = await startQemu(qcow2Nodes('disk', old));
  expect(await refused(qemu.socket, old)).toEqual({
    exitCode: 4,
    message: `${old}: a version 2 image (compat 0.10) cannot hold bitmaps`,
  });
  const other = await image();
  expect(await refused(qemu.socket, other)).toEqual({
    exitCode: 4,
    message: `${other}: ${qemu.socket} does not have this image open`,
  });
});

it('refuses a file that is not a socket, a socket without a listener, and a socket with another protocol', async () => {
  const disk = await image();
  const folder = await scratchFolder();
  expect(await refused(join(folder, 'none'), disk)).toMatchObject({ exitCode: 1 });
  expect(await refused(disk, disk)).toMatchObject({ exitCode: 1 });
  const path = join(folder, 'other.sock');
  const server = createServer((client) => void client.end('220 mail\r\n'));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
  expect(await refused(path, disk)).toEqual({
    exitCode: 4,
    message: `${path}: what listens there does not speak QMP`,
  });
});
