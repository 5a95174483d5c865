/**
 * Reads the marks of one bitmap.
 */
import {
  type DirtyBitmap,
  dirtyBytes,
  dirtyExtents,
  mergeInto,
  resample,
} from '../../bitmap/dirty-bitmap.ts';
import { allLayers, type Chain } from '../../chain/chain.ts';
import { parseReference } from '../../chain/reference.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import type { Image } from '../../image/image.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { withQcow2 } from '../open-qcow2.ts';
import type { OperationOptions } from '../options.ts';
import { readNamedBitmap } from './named-bitmaps.ts';

/** A part of the disk, as `nbdinfo --json --map=qemu:dirty-bitmap:NAME` shows it; bytes. */
export interface DumpExtent {
  readonly offset: number;
  readonly length: number;
  readonly type: 0 | 1;
  readonly description: 'clean' | 'dirty';
}

export interface BitmapDump {
  readonly image: string;
  readonly name: string;
  readonly virtualSize: number;
  readonly granularity: number;
  readonly dirtyBytes: number;
  /** Covers the whole disk, clean and dirty in turn. */
  extents(): Generator<DumpExtent>;
}

export interface DumpOptions extends OperationOptions {
  /** Unite the bitmaps of that name of every image of the chain: what libvirt takes for an incremental backup. */
  readonly chain?: boolean | undefined;
}

/**
 * @param name of a stored bitmap, or `#ALLOCATED` for what the image itself holds
 * @throws RefusedError when there is no such bitmap, or its content cannot be trusted
 */
export async function dumpBitmap(
  imageName: string,
  name: string,
  options: DumpOptions = {},
): Promise<BitmapDump> {
  const reference = parseReference(imageName, undefined);
  return withQcow2(reference, options, async ({ image, path }, chain) => {
    const own = await readIn(image, name, options);
    const bitmap = options.chain ? await withLowerImages(own, chain, name, options) : own;
    return {
      image: path,
      name,
      virtualSize: bitmap.virtualSizeBytes,
      granularity: 2 ** bitmap.granularityBits,
      dirtyBytes: dirtyBytes(bitmap),
      extents: () => wholeDisk(bitmap),
    };
  });
}

async function readIn(image: Image, name: string, options: OperationOptions): Promise<DirtyBitmap> {
  if (name !== ALLOCATED) refuseStaleBitmaps(image);
  return readNamedBitmap(image, await readBitmapDirectory(image), name, options);
}

/** Adds the bitmaps of that name that images below have; the finest granularity is kept. */
export async function withLowerImages(
  own: DirtyBitmap,
  chain: Chain,
  name: string,
  options: OperationOptions,
): Promise<DirtyBitmap> {
  let united = own;
  for (const { image } of (await allLayers(chain)).slice(1).filter((layer) => layer.format === 'qcow2')) {
    const entries = await readBitmapDirectory(image);
    const has = name === ALLOCATED || entries.some((entry) => entry.name === name);
    if (!has) continue;
    const lower = await readIn(image, name, options);
    united = resample(united, Math.min(united.granularityBits, lower.granularityBits));
    mergeInto(united, lower);
  }
  return united;
}

export function* wholeDisk(bitmap: DirtyBitmap): Generator<DumpExtent> {
  let end = 0;
  for (const { offset, length } of dirtyExtents(bitmap)) {
    if (offset > end) yield { offset: end, length: offset - end, type: 0, description: 'clean' };
    yield { offset, length, type: 1, description: 'dirty' };
    end = offset + length;
  }
  const { virtualSizeBytes } = bitmap;
  if (virtualSizeBytes > end)
    yield { offset: end, length: virtualSizeBytes - end, type: 0, description: 'clean' };
}
