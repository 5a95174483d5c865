/**
 * Reads the marks of one bitmap.
 */
import { type DirtyBitmap, dirtyBytes, dirtyExtents } from '../bitmap/dirty-bitmap.ts';
import { parseReference } from '../chain/reference.ts';
import { ALLOCATED } from '../checkpoint/names.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../image/bitmap-directory.ts';
import { withQcow2 } from './change-bitmaps.ts';
import { readNamedBitmap } from './named-bitmaps.ts';
import type { OperationOptions } from './options.ts';

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

/**
 * @param name of a stored bitmap, or `#ALLOCATED` for what the image itself holds
 * @throws RefusedError when there is no such bitmap, or its content cannot be trusted
 */
export async function dumpBitmap(
  imageName: string,
  name: string,
  options: OperationOptions = {},
): Promise<BitmapDump> {
  return withQcow2(parseReference(imageName, undefined), options, async ({ image, path }) => {
    if (name !== ALLOCATED) refuseStaleBitmaps(image);
    const bitmap = await readNamedBitmap(image, await readBitmapDirectory(image), name, options);
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

function* wholeDisk(bitmap: DirtyBitmap): Generator<DumpExtent> {
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
