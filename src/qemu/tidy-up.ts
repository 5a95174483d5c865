/**
 * Removes the leftovers of killed runs from a QEMU and from folders.
 */
import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedError } from '../errors.ts';
import { readBlockNodes } from './block-nodes.ts';
import { giveBack, marksWritable } from './give-back.ts';
import { removeOwn } from './own-files.ts';
import { hasEnded, runOf } from './own-names.ts';
import { type Qmp, QmpError } from './qmp.ts';

/** @param folder the folder that all runs of this QEMU use; without it each run makes its own */
export async function tidyUp(qmp: Qmp, folder: string | undefined): Promise<void> {
  const { images, names } = await readBlockNodes(qmp);
  const exports = (await qmp.execute<{ id: string }[]>('query-block-exports')).map(({ id }) => id);
  const bitmaps = images.flatMap((node) => node.bitmaps.map((bitmap) => ({ node, ...bitmap })));
  const ended = new Set<string>();
  for (const name of [...names, ...exports, ...bitmaps.map((bitmap) => bitmap.name)]) {
    const run = runOf(name);
    if (run !== undefined && (await hasEnded(run))) ended.add(run);
  }
  const isLeft = (name: string) => ended.has(runOf(name) ?? '');

  for (const id of exports.filter(isLeft)) {
    await attempt(() => qmp.execute('block-export-del', { id, mode: 'hard' }));
  }
  for (const { run, path } of await leftPaths(folder)) {
    const socket = folder === undefined ? join(path, `${run}.sock`) : path;
    if (await isServed(socket)) {
      // This QEMU has no object of that run, so another QEMU serves the socket.
      if (!ended.has(run)) continue;
      await attempt(() => qmp.execute('nbd-server-stop'));
    }
    await removeOwn(path, run);
  }
  for (const { node, name, persistent } of bitmaps) {
    if (!isLeft(name) || persistent) continue;
    const bitmap = { node: node.nodeName, name };
    await attempt(() =>
      marksWritable(name) ? giveBack(qmp, node, name) : qmp.execute('block-dirty-bitmap-remove', bitmap),
    );
  }
  for (const name of [...names].filter(isLeft)) {
    await attempt(() => qmp.execute('blockdev-del', { 'node-name': name }));
  }
}

/** Files and folders of runs that have ended. */
async function leftPaths(folder: string | undefined): Promise<{ run: string; path: string }[]> {
  const parent = folder ?? tmpdir();
  const paths: { run: string; path: string }[] = [];
  for (const name of await readdir(parent).catch(() => [])) {
    const run = runOf(name);
    if (run !== undefined && (await hasEnded(run))) paths.push({ run, path: join(parent, name) });
  }
  return paths;
}

function isServed(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const client = connect({ path: socket });
    client.once('error', () => resolve(false));
    client.once('connect', () => {
      client.destroy();
      resolve(true);
    });
  });
}

/** Ignores refusals: a leftover is harmless, or makes the next command fail with a clear error. */
async function attempt(removal: () => Promise<unknown>): Promise<void> {
  try {
    await removal();
  } catch (error) {
    if (!(error instanceof QmpError || error instanceof RefusedError)) throw error;
  }
}
