/**
 * Gives back an image that a killed run has opened for writing. A bitmap in the image marks it.
 */
import type { ImageNode } from './block-nodes.ts';
import { readKnownOptions } from './known-options.ts';
import type { Qmp } from './qmp.ts';
import { findJob } from './refuse-busy.ts';
import { optionsToReopen } from './reopen-options.ts';

/** The end of the name of a bitmap that marks an image as opened for writing by a run. */
export const WRITABLE = '-writable';

export function marksWritable(bitmapName: string): boolean {
  return bitmapName.endsWith(WRITABLE);
}

/** Reopens an image read-only that a killed run has opened for writing, and removes the mark of that run. */
export async function giveBack(qmp: Qmp, node: ImageNode, mark: string): Promise<void> {
  // After a commit it may be the active image, which QEMU must keep open for writing.
  if (!node.options.readOnly && node.overlays.length > 0) {
    // A job may write to it. A later run gives it back.
    if ((await findJob(qmp)) !== undefined) return;
    const optionsOf = await readKnownOptions(qmp, [node]);
    await qmp.execute('blockdev-reopen', { options: optionsToReopen(node, optionsOf(node)).readOnly });
  }
  await qmp.execute('block-dirty-bitmap-remove', { node: node.nodeName, name: mark });
}
