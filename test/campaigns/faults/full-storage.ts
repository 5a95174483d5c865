/** Runs the real process on storage that is full or becomes full. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { scratchFolder } from '../../support/scratch.ts';
import type { Outcome } from './judge.ts';
import type { Trial } from './trial.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const script = fileURLToPath(new URL('full-storage.sh', import.meta.url));

/** Of a file on a full file system a write fails; of a full thin volume, a block device, the flush. */
export type StorageKind = 'file' | 'volume';

export interface FullRun extends Outcome {
  /** A copy of the final image on the storage, in the folder of the images below it. */
  readonly image: string;
  /** How many of the free pages the command has filled. */
  readonly pagesTaken: number;
}

/** @param pages of 4 KiB that are free when the command starts */
export async function runOnStorage(
  kind: StorageKind,
  pages: number,
  trial: Trial,
  args: (image: string) => string[],
): Promise<FullRun> {
  const mount = await scratchFolder();
  const image = await trial.place();
  const command = [process.execPath, program, ...args(join(mount, 'disk.qcow2'))];
  const own = ['--mount', 'sh', script, kind, mount, trial.folder, image, String(pages)];
  const { exitCode, stdout, stderr } = await execa('unshare', [...own, ...command], {
    reject: false,
    stdin: 'ignore',
    env: { NO_COLOR: '1' },
  });
  const taken = /^pages taken: (\d+)$/m.exec(stdout);
  if (taken === null) {
    throw new Error(
      `no full ${kind}: this test needs root that may mount and attach loop devices: ${stderr}`,
    );
  }
  return { exitCode, stderr, image, pagesTaken: Number(taken[1]) };
}
