/**
 * Makes QEMU reopen an image below the active image for writing, for the duration of a change.
 */
import type { OnWarning } from '../remedy.ts';
import { type ImageNode, readBlockNodes } from './block-nodes.ts';
import { WRITABLE } from './give-back.ts';
import { readKnownOptions } from './known-options.ts';
import { QmpError } from './qmp.ts';
import { findJob } from './refuse-busy.ts';
import { cannotWrite, optionsToReopen, type Reopening } from './reopen-options.ts';
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
    let isWritable = false;
    session.onClose(async () => {
      // Without the mark, a later run would not give the image back.
      if (isWritable) await makeReadOnly(session, node, readOnly, onWarning);
      await session.qmp.execute('block-dirty-bitmap-remove', mark);
    });
    try {
      await session.qmp.execute('blockdev-reopen', { options: writable });
      isWritable = true;
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      throw cannotWrite(node, `QEMU cannot open it for writing: ${error.description}`, error);
    }
  }
}

async function makeReadOnly(
  session: Session,
  node: ImageNode,
  readOnly: Reopening['readOnly'],
  onWarning: OnWarning | undefined,
): Promise<void> {
  // A job may write to the image by now, and would fail.
  const job = await findJob(session.qmp);
  if (job !== undefined) {
    throw new Error(`${node.path} stays open for writing while the ${job.type} job "${job.id}" runs`);
  }
  await session.qmp.execute('blockdev-reopen', { options: readOnly });
  await compareOptions(session, node, onWarning);
}

async function compareOptions(
  { qmp }: Session,
  { nodeName, path, options, backingChild }: ImageNode,
  onWarning: OnWarning | undefined,
): Promise<void> {
  const now = (await readBlockNodes(qmp)).images.find((node) => node.nodeName === nodeName);
  const present: Record<string, unknown> = { ...now?.options, backing: now?.backingChild };
  const differences = Object.entries({ ...options, backing: backingChild }).filter(
    ([name, value]) => present[name] !== value,
  );
  if (differences.length === 0) return;
  const names = differences.map(([name]) => name).join(', ');
  onWarning?.(
    `${path}: QEMU has this image open with another ${names} than before; it is as before from the next start`,
  );
}
