/**
 * Makes QEMU reopen an image below the active image for writing, for the duration of a change.
 */
import { RefusedError } from '../errors.ts';
import type { OnWarning } from '../remedy.ts';
import { type ImageNode, readBlockNodes } from './block-nodes.ts';
import type { BlockdevOptions } from './blockdev-options.ts';
import { type ImageOptions, readKnownOptions } from './known-options.ts';
import { type Qmp, QmpError } from './qmp.ts';
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

/** The end of the name of a bitmap that marks an image as opened for writing by a run. */
const WRITABLE = '-writable';

export function marksWritable(bitmapName: string): boolean {
  return bitmapName.endsWith(WRITABLE);
}

/** Reopens an image read-only that a killed run has opened for writing, and removes the mark of that run. */
export async function giveBack(qmp: Qmp, node: ImageNode, mark: string): Promise<void> {
  if (!node.options.readOnly) {
    const optionsOf = await readKnownOptions(qmp, [node]);
    await qmp.execute('blockdev-reopen', { options: optionsToReopen(node, optionsOf(node)).readOnly });
  }
  await qmp.execute('block-dirty-bitmap-remove', { node: node.nodeName, name: mark });
}

interface Reopening {
  readonly writable: readonly BlockdevOptions[];
  readonly readOnly: readonly BlockdevOptions[];
}

function optionsToReopen(node: ImageNode, known: ImageOptions | undefined): Reopening {
  if (known === undefined || node.file === undefined) {
    throw cannotWrite(node, 'with which options QEMU has it open is not known for certain');
  }
  const { format, file } = known;
  const same =
    format['driver'] === node.driver &&
    file['driver'] === node.file.driver &&
    isAsKnown(node.options, format) &&
    isAsKnown(node.file.options, file);
  if (!same) throw cannotWrite(node, 'QEMU has it open with other options than it was given');
  // A commit may have replaced its backing image.
  const backing = node.backing?.nodeName ?? null;
  const formatAs = (isReadOnly: boolean) => ({ ...format, backing, 'read-only': isReadOnly });
  const files = file['read-only'] === true ? [file] : [];
  return {
    writable: [...files.map((options) => ({ ...options, 'read-only': false })), formatAs(false)],
    readOnly: [formatAs(true), ...files],
  };
}

/** Whether a node still has its options, as far as QEMU reports them. */
function isAsKnown(now: ImageNode['options'], known: BlockdevOptions): boolean {
  const cache = (known['cache'] ?? {}) as Readonly<Record<string, unknown>>;
  return (
    now.cacheDirect === (cache['direct'] ?? false) &&
    now.cacheNoFlush === (cache['no-flush'] ?? false) &&
    now.detectZeroes === (known['detect-zeroes'] ?? 'off')
  );
}

function cannotWrite({ path }: ImageNode, what: string, cause?: QmpError): RefusedError {
  return new RefusedError('UNSUPPORTED', `${path}: needs a bitmap, but ${what}; nothing was changed`, {
    remedy: { kind: 'shut-down-or-commit' },
    context: { file: path },
    cause,
  });
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
