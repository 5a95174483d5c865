/** Chains that a running QEMU opens, and the rules for a bitmap after it has ended. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { normalised, roundedOut } from './extents.ts';
import { ownAllocation } from './map-answers.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo, qemuMap } from './qemu.ts';
import { dirtyExtents } from './qemu-bitmap.ts';
import { leftIn, type RunningQemu } from './running-qemu.ts';
import { scratchFolder } from './scratch.ts';

const DISK_BYTES = 64 * 2 ** 20;

/** What the overlay of {@link brokenChain} holds, in bytes. */
export const HELD_BYTES = 2 * 2 ** 20 + 131072;

/** The base has the bitmap c1; the overlay was written to without one. */
export async function brokenChain(): Promise<{ folder: string; base: string; top: string }> {
  const folder = await scratchFolder();
  const [base, top] = [join(folder, 'base.qcow2'), join(folder, 'top.qcow2')];
  await qemuImg('create', '-q', '-f', 'qcow2', base, '64M');
  await qemuIo(base, 'write -q -P 1 0 3M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top);
  await qemuIo(top, 'write -q -P 2 1M 1M', 'write -q -z 10M 128k', 'write -q -P 3 63M 1M');
  return { folder, base, top };
}

/** Ends QEMU, and expects the bitmap that it stores to mark just what the image holds then. */
export async function expectExact(
  qemu: RunningQemu,
  image: string,
  bitmap: string,
  granularity = 65536,
): Promise<void> {
  expect(await leftIn(qemu)).toEqual([]);
  await qemu.stop();
  await expectExactAtRest(image, bitmap, granularity);
}

async function expectExactAtRest(image: string, bitmap: string, granularity = 65536): Promise<void> {
  expect(await qemuBitmaps(image)).toContainEqual({ name: bitmap, granularity, flags: ['auto'] });
  const held = ownAllocation(await qemuMap(image));
  const extents = await dirtyExtents(image, bitmap);
  const marked = extents
    .filter(({ type }) => type === 1)
    .map(({ offset, length }) => ({ start: offset, length }));
  expect(normalised(marked)).toEqual(roundedOut(held, granularity, DISK_BYTES));
  expect(await qemuCheck(image)).toMatchObject({ errors: 0, corruptions: 0, leaks: 0 });
}
