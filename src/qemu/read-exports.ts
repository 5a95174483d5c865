/**
 * Reads data through NBD that only a running QEMU knows: the allocation of its active image, and the marks of
 * its bitmaps.
 */
import { cleanBitmap, type DirtyBitmap, markRange } from '../bitmap/dirty-bitmap.ts';
import type { ProgressOptions } from '../image/progress.ts';
import type { ImageNode, QemuBitmap } from './block-nodes.ts';
import { type NbdExport, type NbdMapVisitor, visitNbdMap } from './nbd-map.ts';
import type { Session } from './session.ts';
import { copyBitmap } from './temporary-bitmaps.ts';

/**
 * The allocation of one image, or of the topmost images together.
 *
 * @param depth number of images to read, from `node` downwards: 1 for `node` alone
 */
export async function readAllocatedByQemu(
  session: Session,
  node: ImageNode,
  depth: number,
  granularityBits: number,
  options: ProgressOptions,
): Promise<DirtyBitmap> {
  const bitmap = cleanBitmap(node.virtualSizeBytes, granularityBits);
  const what = { 'allocation-depth': true };
  await visitExport(session, node, what, 'qemu:allocation-depth', options, (offset, length, type) => {
    if (type >= 1 && type <= depth) markRange(bitmap, offset, length);
  });
  return bitmap;
}

/**
 * The marks of a bitmap at one moment. Exports a copy, since QEMU does not export a bitmap that is recording.
 */
export async function readMarksOfQemu(
  session: Session,
  node: ImageNode,
  original: Pick<QemuBitmap, 'name' | 'granularity'>,
  options: ProgressOptions,
): Promise<DirtyBitmap> {
  const copy = await copyBitmap(session, node, original, false);
  const bitmap = cleanBitmap(node.virtualSizeBytes, Math.log2(original.granularity));
  const context = `qemu:dirty-bitmap:${copy}`;
  await visitExport(session, node, { bitmaps: [copy] }, context, options, (offset, length, type) => {
    if (type !== 0) markRange(bitmap, offset, length);
  });
  return bitmap;
}

async function visitExport(
  session: Session,
  { nodeName, path, virtualSizeBytes }: ImageNode,
  what: object,
  context: string,
  { signal, onProgress }: ProgressOptions,
  onExtent: NbdMapVisitor['onExtent'],
): Promise<void> {
  const { qmp } = session;
  const socket = await session.nbdSocket();
  const id = session.ownName();
  await qmp.execute('block-export-add', { type: 'nbd', id, name: id, 'node-name': nodeName, ...what });
  const from: NbdExport = {
    socket,
    name: id,
    context,
    virtualSizeBytes,
    // Stopping the server at the end of the session removes what is left.
    delete: () =>
      qmp.execute('block-export-del', { id, mode: 'hard' }).then(
        () => {},
        () => {},
      ),
  };
  signal?.throwIfAborted();
  const phase = context.startsWith('qemu:dirty')
    ? 'reading a bitmap from QEMU'
    : 'reading allocation from QEMU';
  const onPosition = (doneBytes: number) =>
    onProgress?.({ phase, image: path, doneBytes, totalBytes: virtualSizeBytes });
  onPosition(0);
  await visitNbdMap(from, { onExtent, onPosition }, signal);
}
