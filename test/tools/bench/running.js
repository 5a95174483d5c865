/**
 * Times the job in a running QEMU, or nbdinfo alone: `running.js job|nbdinfo TOOL IMAGE` prints seconds.
 *
 * A qemu-storage-daemon has the image open meanwhile. Only the work itself is timed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BITMAP } from './cases.js';
import { wallSeconds } from './measure.js';

const [work, tool, image] = process.argv.slice(2);
if (work === undefined || tool === undefined || image === undefined)
  throw new Error('job|nbdinfo TOOL IMAGE');

const folder = mkdtempSync(join(tmpdir(), 'bitmap-tool-bench-'));
const [monitor, exported] = [join(folder, 'qmp.sock'), join(folder, 'nbd.sock')];
const server = [
  ['--nbd-server', `addr.type=unix,addr.path=${exported}`],
  ['--export', 'type=nbd,id=disk,node-name=disk,name=disk,allocation-depth=on'],
];
const daemon = spawn(
  'qemu-storage-daemon',
  [
    ['--chardev', `socket,id=monitor,path=${monitor},server=on,wait=off`],
    ['--monitor', 'chardev=monitor'],
    ['--blockdev', JSON.stringify({ driver: 'file', 'node-name': 'file', filename: image })],
    ['--blockdev', JSON.stringify({ driver: 'qcow2', 'node-name': 'disk', file: 'file' })],
    ...(work === 'nbdinfo' ? server : []),
  ].flat(),
  { stdio: ['ignore', 'inherit', 'inherit'] },
);
const ended = once(daemon, 'exit');
try {
  while (!(await answers(monitor))) await sleep(10);
  const seconds = await wallSeconds(
    work === 'nbdinfo'
      ? ['nbdinfo', '--map=qemu:allocation-depth', `nbd+unix:///disk?socket=${exported}`]
      : [process.execPath, tool, 'create-from', '--allocated', '-n', BITMAP, '--qmp', monitor, image],
  );
  process.stdout.write(`${seconds}\n`);
} finally {
  // An orderly end, at which it stores the bitmap.
  daemon.kill('SIGTERM');
  await ended;
  rmSync(folder, { recursive: true, force: true });
}

/** @param {string} socket @returns {Promise<boolean>} */
function answers(socket) {
  return new Promise((resolve) => {
    const client = connect(socket);
    client.once('error', () => resolve(false));
    client.once('connect', () => {
      client.destroy();
      resolve(true);
    });
  });
}
