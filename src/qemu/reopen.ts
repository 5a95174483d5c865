/**
 * Makes QEMU reopen an image below the active image for writing, for the duration of a change.
 */
import type { OnWarning } from '../remedy.ts';
import { type ImageNode, readBlockNodes } from './block-nodes.ts';
import { WRITABLE } from './give-back.ts';
import { readKnownOptions } from './known-options.ts';
import { QmpError } from './qmp.ts';
import { cannotWrite, optionsToReopen } from './reopen-options.ts';
import type { Session } from './session.ts';

/**
 * Opens all of them for writing, or none. At the end of the session they are reopened read-only with their
 * previous options, which stores their bitmaps.
 *
 * @throws RefusedError when the options of a node are not known for certain, or QEMU may not write to it
 */
export async function openForWriting(
  session: Session,
  nodes: readonly ImageNode[],
  onWarning: OnWarning | undefined,
): Promise<void> {
  if (nodes.length === 0) return;
  const optionsOf = await readKnownOptions(session.qmp, nodes);
  const reopenings = nodes.map((node) => ({ node, ...optionsToReopen(node, optionsOf(node)) }));
  for (const { node, writable, readOnly } of reopenings) {
    const mark = { node: node.nodeName, name: `${session.ownName()}${WRITABLE}` };
    await session.qmp.execute('block-dirty-bitmap-add', { ...mark, persistent: false, disabled: true });
    session.onClose(() => session.qmp.execute('block-dirty-bitmap-remove', mark));
    try {
      await session.qmp.execute('blockdev-reopen', { options: writable });
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      throw cannotWrite(node, `QEMU cannot open it for writing: ${error.description}`, error);
    }
    session.onClose(async () => {
      await session.qmp.execute('blockdev-reopen', { options: readOnly });
      await compareOptions(session, node, onWarning);
    });
  }
}

async function compareOptions(
  { qmp }: Session,
  { nodeName, path, options }: ImageNode,
  onWarning: OnWarning | undefined,
): Promise<void> {
  const now = (await readBlockNodes(qmp)).images.find((node) => node.nodeName === nodeName);
  const differences = Object.entries(options).filter(
    ([name, value]) => now?.options[name as keyof typeof options] !== value,
  );
  if (differences.length === 0) return;
  const names = differences.map(([name]) => name).join(', ');
  onWarning?.(
    `${path}: QEMU has this image open with another ${names} than before; it is as before from the next start`,
  );
}
