/** Repairs a chain of three images, and reads the result. */
import { expect } from 'vitest';
import { type RepairOptions, type RepairResult, repairCheckpoints } from '../../../src/index.ts';
import { qemuBitmaps, qemuImg } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { UNIT } from '../../unit/checkpoint/three-images.ts';

export const AGREED = { rebuildOrigin: true, enableDisabled: true } as const;

export async function repair(
  top: string,
  options: RepairOptions = AGREED,
): Promise<RepairResult['disks'][number]> {
  return (await repairCheckpoints([top], options)).disks[0]!;
}

/** For each image, top first: the action for each bitmap, its marked units and the added ones. */
export function actions({ images }: RepairResult['disks'][number]): Record<string, string>[] {
  return images.map(({ bitmaps }) =>
    Object.fromEntries(
      bitmaps.map(({ name, action, dirtyBytes, addedBytes }) => [
        name,
        `${action} ${dirtyBytes / UNIT} +${addedBytes / UNIT}`,
      ]),
    ),
  );
}

/** The marks of a bitmap in units, as QEMU reads them. */
export async function marks(image: string, name: string): Promise<number[]> {
  const dirty = (await dirtyExtents(image, name)).filter(({ type }) => type === 1);
  return dirty.flatMap(({ offset, length }) =>
    Array.from({ length: Math.ceil(length / UNIT) }, (_, index) => Math.floor(offset / UNIT) + index),
  );
}

export const order = async (image: string) => (await qemuBitmaps(image)).map(({ name }) => name);
export const flags = async (image: string) =>
  (await qemuBitmaps(image)).map(({ flags: each }) => each.join(' '));
export const remove = (image: string, name: string) => qemuImg('bitmap', '--remove', image, name);
export const refusal = (code: string, message: RegExp, rest: object = {}) =>
  expect.objectContaining({ code, message: expect.stringMatching(message), ...rest });

export const KEPT = [
  { c1: 'keep 1 +0', c2: 'keep 1 +0' },
  { c1: 'keep 1 +0', c2: 'keep 2 +0' },
  { c1: 'keep 2 +0', c2: 'keep 1 +0' },
];
