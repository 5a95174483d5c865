/** A chain that libvirt refuses: an overlay without bitmaps over an image with the bitmap of a checkpoint. */
import { join } from 'node:path';
import { qemuImg } from './qemu.ts';
import { scratchFolder } from './scratch.ts';

export interface OverlayOnCheckpoint {
  /** Has the bitmap c1; its disk of 1 MiB is empty. */
  readonly base: string;
  readonly overlay: string;
}

export async function overlayOnCheckpoint(): Promise<OverlayOnCheckpoint> {
  const folder = await scratchFolder();
  const base = join(folder, 'base.qcow2');
  const overlay = join(folder, 'overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', base, '1M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
  return { base, overlay };
}
