/**
 * Changes the bitmaps of a running QEMU in one transaction, so that QEMU makes all changes or none.
 */
import { rm } from 'node:fs/promises';
import type { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import { FailedError, InUseError } from '../errors.ts';
import type { OnWarning } from '../remedy.ts';
import { chainOfNode, type ImageNode, type QemuBitmap, readBlockNodes } from './block-nodes.ts';
import { writeCarrier } from './carrier.ts';
import { marksWritable } from './give-back.ts';
import { runOf } from './own-names.ts';
import { QmpError } from './qmp.ts';
import { refuseBusyQemu } from './refuse-busy.ts';
import { openForWriting } from './reopen.ts';
import type { Session } from './session.ts';

/** The wanted state of one bitmap of a node. */
export interface NodeChange {
  readonly node: ImageNode;
  readonly name: string;
  readonly granularity: number;
  readonly recording: boolean;
  /** `new` keeps no marks of an existing bitmap of this name. */
  readonly start: 'new' | 'kept';
  /** Marks to add to it. */
  readonly marks?: DirtyBitmap | undefined;
  /** Bitmaps of the same node to merge into it, such as the one that recorded writes during a read. */
  readonly sources?: readonly string[] | undefined;
}

export interface ChangeNodesOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: OnWarning | undefined;
}

/** An action of QMP's `transaction`. */
interface Action {
  readonly type: string;
  readonly data: object;
}

/**
 * Carries out all changes, of one or several images.
 *
 * @throws InUseError when the chain of an image has changed since it was read; then nothing is changed
 * @throws QmpError when QEMU refuses. Then nothing is changed, but replaced bitmaps are gone: those that were
 * inconsistent or had another granularity
 * @throws FailedError when the chain of an image has changed in the last moment
 */
export async function changeNodes(
  session: Session,
  changes: readonly NodeChange[],
  options: ChangeNodesOptions,
): Promise<void> {
  if (changes.length === 0) return;
  const carriers = await loadCarriers(session, changes);
  const { qmp } = session;
  const nodes = [...new Set(changes.map(({ node }) => node))];
  await openToChange(session, nodes, options);
  // One transaction cannot remove a bitmap and add one of the same name.
  for (const { node, name } of changes.filter(isReplaced)) {
    await qmp.execute('block-dirty-bitmap-remove', { node: node.nodeName, name });
  }
  try {
    await qmp.execute('transaction', { actions: changes.flatMap((change) => actionsOf(change, carriers)) });
  } catch (error) {
    if (!(error instanceof QmpError) || changes.some(isReplaced)) throw error;
    const refused = await changedChain(session, nodes, () => false);
    throw refused === undefined ? error : chainChanged(refused);
  }
  // To an image that has become read-only, QEMU 11.1 adds no persistent bitmap. Older versions add it and do
  // not store it.
  await requireWritable(session, nodes);
}

/**
 * @throws FailedError when the chain of an image has changed in the last moment, or the image has become
 * read-only
 */
async function requireWritable(session: Session, nodes: readonly ImageNode[]): Promise<void> {
  const late = await changedChain(session, nodes, () => false);
  if (late === undefined) return;
  throw new FailedError(
    'IO_ERROR',
    `${late.path}: its chain has changed in QEMU meanwhile; QEMU may not store its changed bitmaps`,
    { remedy: { kind: 'run-again-after-snapshot' }, context: { file: late.path } },
  );
}

/**
 * Removes all of these bitmaps of a node, or none.
 *
 * @throws InUseError when the chain of the image has changed since it was read
 * @throws QmpError when QEMU refuses
 * @throws FailedError when the chain of the image has changed in the last moment
 */
export async function removeFromNode(
  session: Session,
  node: ImageNode,
  names: readonly string[],
  options: ChangeNodesOptions,
): Promise<void> {
  await openToChange(session, [node], options);
  const actions: Action[] = names.map((name) => ({
    type: 'block-dirty-bitmap-remove',
    data: { node: node.nodeName, name },
  }));
  await session.qmp.execute('transaction', { actions });
  await requireWritable(session, [node]);
}

/**
 * @throws InUseError while another run has opened one of the images for writing. When that run ends, QEMU opens
 * the image read-only, and does not store a bitmap that is added then
 */
function refuseOtherRun(session: Session, nodes: readonly ImageNode[]): void {
  const own = runOf(session.ownName());
  for (const { path, bitmaps } of nodes) {
    if (!bitmaps.some(({ name }) => marksWritable(name) && runOf(name) !== own)) continue;
    throw new InUseError(`${path}: another run of this program changes it in QEMU; nothing was changed`, {
      remedy: { kind: 'run-again-after-other-run' },
      context: { file: path },
    });
  }
}

/** Makes QEMU open the read-only ones for writing, because it changes no bitmap of a read-only image. */
async function openToChange(
  session: Session,
  nodes: readonly ImageNode[],
  { signal, onWarning }: ChangeNodesOptions,
): Promise<void> {
  const changed = await changedChain(session, nodes, (node) => node.options.readOnly);
  if (changed !== undefined) throw chainChanged(changed);
  refuseOtherRun(session, nodes);
  signal?.throwIfAborted();
  const readOnly = nodes.filter(({ options }) => options.readOnly);
  // A job that has begun since may use an image that is opened for writing here.
  if (readOnly.length > 0) await refuseBusyQemu(session.qmp);
  await openForWriting(session, readOnly, onWarning);
  signal?.throwIfAborted();
}

function chainChanged({ path }: ImageNode): InUseError {
  return new InUseError(`${path}: its chain has changed in QEMU meanwhile; nothing was changed`, {
    remedy: { kind: 'run-again-after-snapshot' },
    context: { file: path },
  });
}

/**
 * Finds a node whose chain has changed since it was read, by a snapshot or the end of a job.
 *
 * @param isReadOnly whether a node must be read-only now
 */
async function changedChain(
  { qmp }: Session,
  nodes: readonly ImageNode[],
  isReadOnly: (node: ImageNode) => boolean,
): Promise<ImageNode | undefined> {
  const { images } = await readBlockNodes(qmp);
  const chainOf = (node: ImageNode) =>
    chainOfNode(node)
      .map(({ nodeName }) => nodeName)
      .join(' ← ');
  return nodes.find((node) => {
    const now = images.find(({ nodeName }) => nodeName === node.nodeName);
    if (now?.options.readOnly !== isReadOnly(node)) return true;
    return now.overlays.join() !== node.overlays.join() || chainOf(now) !== chainOf(node);
  });
}

function presentIn({ node, name }: NodeChange): QemuBitmap | undefined {
  return node.bitmaps.find((bitmap) => bitmap.name === name);
}

/** Whether the existing bitmap must be removed and added again. */
function isReplaced(change: NodeChange): boolean {
  const present = presentIn(change);
  if (present === undefined) return false;
  return present.inconsistent || (change.start === 'new' && present.granularity !== change.granularity);
}

function actionsOf(change: NodeChange, carriers: Carriers): Action[] {
  const { node, name, granularity, recording, start, marks, sources = [] } = change;
  const at = { node: node.nodeName, name };
  const present = isReplaced(change) ? undefined : presentIn(change);
  const carried = marks === undefined ? undefined : carriers.get(node)?.get(marks);
  const merged = [...sources, ...(carried === undefined ? [] : [carried])];
  const actions: Action[] = [];
  if (present === undefined) {
    const data = { ...at, granularity, persistent: true, disabled: !recording };
    actions.push({ type: 'block-dirty-bitmap-add', data });
  } else if (start === 'new') {
    actions.push({ type: 'block-dirty-bitmap-clear', data: at });
  }
  if (merged.length > 0) {
    const data = { node: at.node, target: name, bitmaps: merged };
    actions.push({ type: 'block-dirty-bitmap-merge', data });
  }
  if (present !== undefined && present.recording !== recording) {
    actions.push({ type: `block-dirty-bitmap-${recording ? 'enable' : 'disable'}`, data: at });
  }
  return actions;
}

/** For each node, the bitmap in its carrier for each set of marks. */
type Carriers = ReadonlyMap<ImageNode, ReadonlyMap<DirtyBitmap, { node: string; name: string }>>;

async function loadCarriers(session: Session, changes: readonly NodeChange[]): Promise<Carriers> {
  const { qmp } = session;
  const carriers = new Map<ImageNode, Map<DirtyBitmap, { node: string; name: string }>>();
  for (const node of new Set(changes.map((change) => change.node))) {
    const ofNode = changes.filter((change) => change.node === node);
    // Changes with the same marks share one bitmap in the carrier.
    const marks = [...new Set(ofNode.flatMap((change) => change.marks ?? []))];
    if (marks.length === 0) continue;
    const carrier = session.ownName();
    const filename = session.ownPath(`${carrier.split('-').at(-1)}.qcow2`);
    const bitmaps = marks.map((bitmap, index) => ({ name: String(index), bitmap }));
    session.onClose(() => rm(filename, { force: true }));
    await writeCarrier(filename, node.virtualSizeBytes, bitmaps);
    await qmp.execute('blockdev-add', {
      driver: 'qcow2',
      'node-name': carrier,
      'read-only': true,
      file: { driver: 'file', filename, 'read-only': true },
    });
    session.onClose(() => qmp.execute('blockdev-del', { 'node-name': carrier }));
    carriers.set(
      node,
      new Map(marks.map((bitmap, index) => [bitmap, { node: carrier, name: String(index) }])),
    );
  }
  return carriers;
}
