/** The expectations that all tests of bitmaps share. */
import { expect } from 'vitest';
import { disagreements, type Extent } from '../../support/extents.ts';
import type { Qcow2Layer } from '../../support/layer.ts';
import { compareImages, qemuCheck, rawImageName } from '../../support/qemu.ts';
import { dirtyRanges } from './image-state.ts';

/** QEMU's own default for new bitmaps. */
export function defaultGranularity({ options }: Qcow2Layer): number {
  return Math.min(Math.max(options.clusterSize, 4096), 65536);
}

export function expectSameExtents(
  actual: readonly Extent[],
  expected: readonly Extent[],
  what: string,
): void {
  expect(disagreements(actual, expected), what).toEqual([]);
}

/** A backup program gets exactly these bytes from the stored bitmap. */
export async function expectDirty(
  layer: Qcow2Layer,
  bitmap: string,
  expected: readonly Extent[],
): Promise<void> {
  expectSameExtents(await dirtyRanges(layer, bitmap), expected, `dirty bytes of ${bitmap} in ${layer.path}`);
}

export async function expectClean(layer: Qcow2Layer): Promise<void> {
  const answer = await qemuCheck(layer.name);
  expect(answer, layer.path).toMatchObject({ exitCode: 0, errors: 0, leaks: 0, corruptions: 0 });
}

/** The guest sees what it would see in a raw file. */
export async function expectContent(layer: Qcow2Layer, rawPath: string): Promise<void> {
  const { identical, difference } = await compareImages(layer.name, rawImageName(rawPath));
  expect({ identical, difference }).toEqual({ identical: true, difference: '' });
}

export async function expectNoErrors(image: string, context = image): Promise<void> {
  const answer = await qemuCheck(image);
  expect(answer, context).toMatchObject({ exitCode: 0, errors: 0, leaks: 0, corruptions: 0 });
}
