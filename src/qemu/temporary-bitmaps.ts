/**
 * Bitmaps of this run in a node of QEMU. They are not persistent, and go when the session ends.
 */
import type { ImageNode, QemuBitmap } from './block-nodes.ts';
import type { Session } from './session.ts';

/** Records every write to the node from now on, for as long as the session is open. */
export async function recordWrites(session: Session, node: ImageNode, granularity: number): Promise<string> {
  const { qmp } = session;
  const recorder = { node: node.nodeName, name: session.ownName() };
  await qmp.execute('block-dirty-bitmap-add', { ...recorder, granularity, persistent: false });
  session.onClose(() => qmp.execute('block-dirty-bitmap-remove', recorder));
  return recorder.name;
}

/**
 * Copies the marks of a bitmap.
 *
 * @param recording whether the copy also marks later writes
 * @returns its name
 */
export async function copyBitmap(
  session: Session,
  { nodeName }: ImageNode,
  { name, granularity }: Pick<QemuBitmap, 'name' | 'granularity'>,
  recording: boolean,
): Promise<string> {
  const { qmp } = session;
  const copy = { node: nodeName, name: session.ownName() };
  const form = { granularity, persistent: false, disabled: !recording };
  await qmp.execute('transaction', {
    actions: [
      { type: 'block-dirty-bitmap-add', data: { ...copy, ...form } },
      { type: 'block-dirty-bitmap-merge', data: { node: nodeName, target: copy.name, bitmaps: [name] } },
    ],
  });
  session.onClose(() => qmp.execute('block-dirty-bitmap-remove', copy));
  return copy.name;
}
