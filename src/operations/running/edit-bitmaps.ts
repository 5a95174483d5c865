/**
 * Adds, removes, clears, enables, disables and merges bitmaps of an image that a running QEMU has open.
 */
import { requireStorableName } from '../../checkpoint/names.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import { changeNodes, type NodeChange, removeFromNode } from '../../qemu/change-node.ts';
import type { AddOptions } from '../bitmaps/add-bitmaps.ts';
import { requireBitmap, requireConsistentBitmap } from '../bitmaps/find-bitmap.ts';
import type { NamedBitmaps } from '../bitmaps/named-bitmaps.ts';
import type { ChangeOptions, EditResult } from '../change-bitmaps.ts';
import { namedTargets } from '../create-from/choose-targets.ts';
import type { RunningQemu } from './open-qemu.ts';
import { readRunningSource, refuseTransient } from './read-source.ts';
import { type RunningImage, withRunningImage } from './running-image.ts';

/** @throws RefusedError when a bitmap of one of the names exists; then none is added */
export function addRunning(
  qemu: RunningQemu,
  imageName: string,
  names: readonly string[],
  options: AddOptions = {},
): Promise<EditResult> {
  names.forEach(requireStorableName);
  return edit(qemu, imageName, names, options, async (running) => {
    const { granularity, disabled } = options;
    return namedTargets(running, names, { granularity }).map(({ name, granularityBits }) => {
      refuseTransient(running, name);
      const node = running.nodes[0]!;
      return { node, name, granularity: 2 ** granularityBits, recording: disabled !== true, start: 'new' };
    });
  });
}

/** @throws RefusedError when one of the bitmaps does not exist; then none is removed */
export function removeRunning(
  qemu: RunningQemu,
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return edit(qemu, imageName, names, options, async ({ session, nodes, image, present }) => {
    for (const name of names) requireBitmap(image, present, name);
    options.signal?.throwIfAborted();
    if (!options.dryRun) await removeFromNode(session, nodes[0]!, [...new Set(names)], options);
    return [];
  });
}

/** @throws RefusedError when one of the bitmaps does not exist or is inconsistent; then none is cleared */
export function clearRunning(
  qemu: RunningQemu,
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return editEach(qemu, imageName, names, options, ({ auto }) => ({ recording: auto, start: 'new' }));
}

/** @throws RefusedError when one of the bitmaps does not exist or is inconsistent; then none is changed */
export function enableRunning(
  qemu: RunningQemu,
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return editEach(qemu, imageName, names, options, () => ({ recording: true, start: 'kept' }));
}

/** @throws RefusedError when one of the bitmaps does not exist or is inconsistent; then none is changed */
export function disableRunning(
  qemu: RunningQemu,
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return editEach(qemu, imageName, names, options, () => ({ recording: false, start: 'kept' }));
}

/**
 * @throws RefusedError when a bitmap does not exist or is inconsistent, or a source is for another disk size
 */
export function mergeRunning(
  qemu: RunningQemu,
  imageName: string,
  targetName: string,
  sources: NamedBitmaps,
  options: ChangeOptions = {},
): Promise<EditResult> {
  requireStorableName(targetName);
  return edit(qemu, imageName, [targetName], options, async (running) => {
    const target = requireConsistentBitmap(running.image, running.present, targetName);
    const { granularityBits, auto } = target;
    const read = await readRunningSource(running, { kind: 'bitmap', ...sources }, granularityBits, options);
    return [{ ...kept(running, target), recording: auto, start: 'kept', ...read }];
  });
}

function kept({ nodes }: RunningImage, { name, granularityBits }: BitmapDirectoryEntry) {
  return { node: nodes[0]!, name, granularity: 2 ** granularityBits };
}

function editEach(
  qemu: RunningQemu,
  imageName: string,
  names: readonly string[],
  options: ChangeOptions,
  wanted: (present: BitmapDirectoryEntry) => Pick<NodeChange, 'recording' | 'start'>,
): Promise<EditResult> {
  names.forEach(requireStorableName);
  return edit(qemu, imageName, names, options, async (running) => {
    const entries = [...new Set(names)].map((name) =>
      requireConsistentBitmap(running.image, running.present, name),
    );
    return entries.map((entry) => ({ ...kept(running, entry), ...wanted(entry) }));
  });
}

/** Opens the image in QEMU and makes all changes at once, or none. */
function edit(
  qemu: RunningQemu,
  imageName: string,
  names: readonly string[],
  options: ChangeOptions,
  changesOf: (running: RunningImage) => Promise<NodeChange[]>,
): Promise<EditResult> {
  return withRunningImage(qemu, imageName, options, async (running) => {
    const changes = await changesOf(running);
    if (!options.dryRun) await changeNodes(running.session, changes, options);
    const dryRun = options.dryRun === true;
    return { schema: 1, image: running.path, bitmaps: [...new Set(names)], dryRun, plan: null };
  });
}
