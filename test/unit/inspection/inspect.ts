/** Inspects an image file as `check` does. */
import { readFile } from 'node:fs/promises';
import { noHostClusters } from '../../../src/census/host-clusters.ts';
import { openImage, readActiveL1Table } from '../../../src/image/image.ts';
import { readRefcountTable } from '../../../src/image/refcount-table.ts';
import { scanL2Tables } from '../../../src/image/scan.ts';
import { type BitmapInspection, inspectBitmaps } from '../../../src/inspection/inspect-bitmaps.ts';
import { memoryStorage } from '../../support/memory.ts';

export async function inspectFile(path: string): Promise<BitmapInspection> {
  const image = await openImage(memoryStorage(await readFile(path), { name: path }), 'lenient');
  const l2Offsets = await readActiveL1Table(image);
  const referenced = noHostClusters(image);
  await scanL2Tables(image, l2Offsets, referenced, undefined, {});
  return inspectBitmaps(image, { l2Offsets, referenced, refcounts: await readRefcountTable(image) });
}
