/**
 * Prints the seconds that the tool takes to read an image on which each read takes 2 ms longer, with so many threads to
 * read with: `slow-storage.js TOOL IMAGE THREADS`. Needs nbdkit and nbdfuse.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const [tool = '', image = '', threads] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'bitmap-tool-bench-'));
const socket = join(folder, 'socket');
const disk = join(folder, 'disk');
/** @param {string} path @param {string} program */
async function appears(path, program) {
  for (let tries = 0; !existsSync(path); tries++) {
    if (tries === 500) throw new Error(`${program} did not start; it needs /dev/fuse`);
    await sleep(10);
  }
}

const served = spawn('nbdkit', [
  '-f',
  '-t',
  '32',
  '-U',
  socket,
  '--filter=delay',
  'file',
  image,
  'delay-read=2ms',
]);
try {
  await appears(socket, 'nbdkit');
  const mounted = spawn('nbdfuse', ['-r', '-C', '16', disk, '--unix', socket]);
  try {
    await appears(disk, 'nbdfuse');
    const args = [tool, 'create-from', '--dry-run', '--quiet', '--allocated', '--name', 'bench', disk];
    const startedAt = performance.now();
    execFileSync(process.execPath, args, { env: { ...process.env, UV_THREADPOOL_SIZE: threads } });
    console.log((performance.now() - startedAt) / 1000);
  } finally {
    mounted.kill('SIGINT');
    await once(mounted, 'exit');
  }
} finally {
  served.kill();
  rmSync(folder, { recursive: true, force: true });
}
