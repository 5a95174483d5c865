/**
 * The state that a bitmap operation must not change: everything that QEMU reports about an image except the bitmaps in
 * question.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Extent } from '../../support/extents.ts';
import type { Layer, Qcow2Layer } from '../../support/layer.ts';
import {
  type BitmapInfo,
  type CheckResult,
  qemuBitmaps,
  qemuCheck,
  qemuInfo,
  type SnapshotInfo,
} from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';

interface BitmapState extends BitmapInfo {
  /** Undefined if QEMU does not read the bitmap, because it is marked in-use. */
  dirty: Extent[] | undefined;
}

export interface ImageState {
  bitmaps: BitmapState[];
  snapshots: SnapshotInfo[];
  check: CheckResult;
}

/** The state of the layer's own image, in QEMU's words. */
export async function imageState(layer: Qcow2Layer): Promise<ImageState> {
  const bitmaps: BitmapState[] = [];
  for (const bitmap of sortedByName(await qemuBitmaps(layer.name))) {
    const isReadable = !bitmap.flags.includes('in-use');
    const dirty = isReadable ? await dirtyRanges(layer, bitmap.name) : undefined;
    bitmaps.push({ ...bitmap, dirty });
  }
  const { snapshots = [] } = await qemuInfo(layer.name);
  return { bitmaps, snapshots, check: await qemuCheck(layer.name) };
}

/** The dirty part of one bitmap, as a backup program would get it. */
export async function dirtyRanges(layer: Qcow2Layer, bitmap: string): Promise<Extent[]> {
  return (await dirtyExtents(layer.name, bitmap))
    .filter(({ type }) => type === 1)
    .map(({ offset, length }) => ({ start: offset, length }));
}

export function sortedByName<T extends { name: string }>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A digest of every file of the chain, by path. */
export async function fileDigests(layers: readonly Layer[]): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const path of layers.flatMap(({ files }) => files)) {
    digests.set(
      path,
      createHash('sha1')
        .update(await readFile(path))
        .digest('hex'),
    );
  }
  return digests;
}

/** Of every file but the top image's own: its data file and all that is below it. */
export async function digestsBeside(top: Qcow2Layer, layers: readonly Layer[]): Promise<Map<string, string>> {
  const digests = await fileDigests(layers);
  digests.delete(top.path);
  return digests;
}
