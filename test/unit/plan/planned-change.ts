/** Plans and carries out a change of the bitmaps of a small image in memory. */
import type { DirtyBitmap } from '../../../src/bitmap/dirty-bitmap.ts';
import { censusOf } from '../../../src/census/census.ts';
import type { BitmapDirectoryEntry } from '../../../src/format/bitmap-directory.ts';
import { type Image, openImage } from '../../../src/image/image.ts';
import { readBitmapDirectory } from '../../../src/image/stored-bitmaps.ts';
import { applyPlan } from '../../../src/plan/apply-plan.ts';
import type { BitmapSlot } from '../../../src/plan/bitmap-slot.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { planBitmaps } from '../../../src/plan/plan-bitmaps.ts';
import { bitmapOfBytes } from '../../support/flat-bits.ts';
import { type MemoryStorage, memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';

export const CLUSTER = 512;

/** At 512 bytes a bitmap of it has 1280 bytes: two whole clusters and a half. */
export const DISK = 5 * 2 ** 20;

export const BLOCK = 2;
export const L1 = 3;

/** The first cluster behind the structures of the image. */
export const FIRST = 6;

/** Header, refcount table, a refcount block of 16-bit entries, and an L1 table of three clusters; then what else is counted. */
export async function emptyImage({
  clusters = FIRST,
  counted = [] as number[],
} = {}): Promise<MemoryStorage> {
  const bytes = Buffer.alloc(clusters * CLUSTER);
  bytes.set(storedHeader({ cluster_bits: 9, size: DISK, l1_table_offset: L1 * CLUSTER }));
  bytes.writeBigUInt64BE(BigInt(BLOCK * CLUSTER), CLUSTER);
  for (const cluster of [0, 1, 2, 3, 4, 5, ...counted]) bytes.writeUInt16BE(1, BLOCK * CLUSTER + 2 * cluster);
  return memoryStorage(bytes, { name: 'disk.qcow2' });
}

export async function planOn(
  image: Image,
  wanted: readonly BitmapSlot[],
  present?: readonly BitmapDirectoryEntry[],
) {
  return planBitmaps(await censusOf(image), {
    present: present ?? (await readBitmapDirectory(image)),
    wanted,
  });
}

/** Plans and carries out a change. */
export async function change(storage: MemoryStorage, wanted: readonly BitmapSlot[]) {
  const plan = await planOn(await openImage(storage), wanted);
  await applyPlan(storage, plan);
  return {
    plan,
    bytes: Buffer.from(storage.contents()),
    entries: await readBitmapDirectory(await openImage(storage)),
  };
}

/** `bits` byte by byte, over the whole disk at 512 bytes. */
export function bitmapOf(bits: (byte: number) => number): DirtyBitmap {
  return bitmapOfBytes(
    DISK,
    9,
    Uint8Array.from({ length: DISK / 512 / 8 }, (_, byte) => bits(byte)),
  );
}

export const store = (
  name: string,
  bitmap: DirtyBitmap,
  more: { auto?: boolean; inUse?: boolean } = {},
): BitmapSlot => ({
  kind: 'store',
  nameBytes: Buffer.from(name),
  name,
  auto: true,
  bitmap,
  ...more,
});
export const mixed = bitmapOf((byte) => (byte % 7) + 1);
export const clean = bitmapOf(() => 0);

export const written = ({ steps }: Plan) =>
  steps.map((step) =>
    step.kind === 'write' ? `${step.offset / CLUSTER}+${step.bytes.length}: ${step.reason}` : 'flush',
  );

export const countedClusters = (bytes: Buffer) =>
  Array.from({ length: CLUSTER / 2 }, (_, cluster) => cluster).filter(
    (cluster) => bytes.readUInt16BE(BLOCK * CLUSTER + 2 * cluster) !== 0,
  );
