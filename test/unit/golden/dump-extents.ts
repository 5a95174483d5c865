import { dumpBitmap } from '../../../src/index.ts';
import type { StoredExtent } from './cases.ts';

/** What a bitmap says of the whole disk, in the form of the stored answers. */
export async function dumpExtents(path: string, name: string): Promise<StoredExtent[]> {
  const dump = await dumpBitmap(path, name);
  return [...dump.extents()].map(({ offset, length, type }) => ({ offset, length, type }));
}
