/** Reads a persistent bitmap the way a backup program does: over NBD, from a server that QEMU runs. */
import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { howToInstall, runProgram } from './external-program.ts';
import { type ImageName, keyFor, qemuBitmaps } from './qemu.ts';
import { makeTemporaryFolder } from './scratch.ts';

/** One extent as nbdinfo prints it: type 1 is "dirty", 0 is "clean". */
export interface DirtyExtent {
  offset: number;
  length: number;
  type: number;
  description: string;
}

/**
 * The extents of a bitmap of this very image, over the whole disk.
 *
 * qemu-nbd looks a missing bitmap up in the backing images, so the image is asked first whether it has it.
 */
export async function dirtyExtents(image: ImageName, bitmap: string): Promise<DirtyExtent[]> {
  const own = await qemuBitmaps(image);
  if (!own.some(({ name }) => name === bitmap)) {
    throw new Error(`${image} has no bitmap ${bitmap}, only: ${own.map(({ name }) => name).join(', ')}`);
  }
  const folder = await makeTemporaryFolder();
  try {
    return await askServer(image, bitmap, join(folder, 'nbd.sock'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function askServer(image: ImageName, bitmap: string, socket: string): Promise<DirtyExtent[]> {
  const args = ['-r', '-t', '--shared=2', '-k', socket, ...keyFor([image]), '-B', bitmap, image];
  const server = execa('qemu-nbd', args, { reject: false, stdin: 'ignore' });
  let isRunning = true;
  const end = server.then((result) => {
    isRunning = false;
    return result.code === 'ENOENT' ? howToInstall('qemu-nbd') : result.message;
  });
  try {
    while (isRunning && !(await accepts(socket))) await sleep(3);
    const map = `--map=qemu:dirty-bitmap:${bitmap}`;
    return JSON.parse(await runProgram('nbdinfo', ['--json', map, `nbd+unix:///?socket=${socket}`]));
  } catch (error) {
    // A server that will not serve the bitmap listens for a moment before it says so and ends.
    const complaint = await Promise.race([end, sleep(1000, undefined)]);
    throw complaint === undefined ? error : new Error(complaint);
  } finally {
    server.kill();
    await end;
  }
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
