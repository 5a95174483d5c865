/** Inspects an image file as `check` does. */
import { readFile } from 'node:fs/promises';
import { censusOf } from '../../../src/census/census.ts';
import { openImage } from '../../../src/image/image.ts';
import { type BitmapInspection, inspectBitmaps } from '../../../src/inspection/inspect-bitmaps.ts';
import { memoryStorage } from '../../support/memory.ts';

export async function inspectFile(path: string): Promise<BitmapInspection> {
  const image = await openImage(memoryStorage(await readFile(path), { name: path }), 'lenient');
  return inspectBitmaps(await censusOf(image));
}
