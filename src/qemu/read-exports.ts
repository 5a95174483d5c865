/**
 * Reads data through NBD that only a running QEMU knows: the allocation of its active image, and the marks of
 * its bitmaps.
 */
import { cleanBitmap, type DirtyBitmap, markRange } from '../bitmap/dirty-bitmap.ts';
import type { ProgressOptions } from '../image/progress.ts';
import type { ImageNode } from './block-nodes.ts';
import { type NbdExport, type NbdMapVisitor, visitNbdMap } from './nbd-map.ts';
import type { Session } from './session.ts';

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
  { name, granularity }: { readonly name: string; readonly granularity: number },
  options: ProgressOptions,
): Promise<DirtyBitmap> {
  const { qmp } = session;
  const copy = { node: node.nodeName, name: session.ownName() };
  await qmp.execute('transaction', {
    actions: [
      { type: 'block-dirty-bitmap-add', data: { ...copy, granularity, persistent: false, disabled: true } },
      { type: 'block-dirty-bitmap-merge', data: { node: copy.node, target: copy.name, bitmaps: [name] } },
    ],
  });
  session.onClose(() => qmp.execute('block-dirty-bitmap-remove', copy));
  const bitmap = cleanBitmap(node.virtualSizeBytes, Math.log2(granularity));
  const context = `qemu:dirty-bitmap:${copy.name}`;
  await visitExport(session, node, { bitmaps: [copy.name] }, context, options, (offset, length, type) => {
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
