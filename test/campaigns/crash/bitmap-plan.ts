/** Plans a change of bitmaps on an image in memory, with the same steps as the operations. */

import { cleanBitmap, type DirtyBitmap, markRange, mergeInto } from '../../../src/bitmap/dirty-bitmap.ts';
import { hasBit, replaceBytes } from '../../../src/bytes/chunked-bits.ts';
import { takeCensus } from '../../../src/census/census.ts';
import { layerBitmap } from '../../../src/guest/allocation/layer-bitmap.ts';
import { openImage, readActiveTables, requireWritable } from '../../../src/image/image.ts';
import { readBitmapDirectory } from '../../../src/image/stored-bitmaps.ts';
import type { BitmapSlot } from '../../../src/plan/bitmap-slot.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { planBitmaps } from '../../../src/plan/plan-bitmaps.ts';
import { bitmapOfBytes, flatBits } from '../../support/flat-bits.ts';
import { memoryStorage } from '../../support/memory.ts';
import { seededRandom } from '../../support/random.ts';
import type { StoredBitmap } from './checker/examine.ts';

interface BitmapToStore {
  name: string;
  granularity: number;
  disabled?: boolean;
  /** What the image holds; or marks at random, which need a cluster for each part, or for only some parts. */
  marks: 'allocated' | 'random' | 'sparse';
  /** Also keep what a bitmap of this name marks already. */
  merge?: boolean;
}

export interface BitmapChange {
  store?: BitmapToStore[];
  /** Those that are there. */
  remove?: string[];
}

interface PlannedChange {
  plan: Plan;
  /** The bitmaps as they shall be. */
  wanted: StoredBitmap[];
}

/** @param present the bitmaps that the image has, as the checker reads them */
export async function planChange(
  bytes: Uint8Array,
  present: readonly StoredBitmap[],
  { store = [], remove = [] }: BitmapChange,
): Promise<PlannedChange> {
  const image = await openImage(memoryStorage(bytes, { name: 'image' }));
  requireWritable(image);
  const entries = await readBitmapDirectory(image);
  const granularityBits = 9;
  const form = {
    content: 'allocated',
    virtualSizeBytes: image.header.virtualSizeBytes,
    granularityBits,
  } as const;
  const { bitmap: allocated, scan } = await layerBitmap(await readActiveTables(image), form, {});
  const census = await takeCensus(scan, {});

  const toStore = new Map(store.map((each) => [each.name, newContent(each, allocated, present)]));
  const slots = entries
    .filter(({ name }) => !remove.includes(name))
    .map((entry): BitmapSlot => {
      const replaced = toStore.get(entry.name);
      return replaced === undefined ? { kind: 'keep', entry } : replaced;
    });
  for (const [name, slot] of toStore) if (!entries.some((entry) => entry.name === name)) slots.push(slot);

  const plan = await planBitmaps(census, { present: entries, wanted: slots });
  const wanted = slots.map((slot) =>
    slot.kind === 'store' ? asStored(slot) : present.find(({ name }) => name === slot.entry.name)!,
  );
  return { plan, wanted };
}

type StoreSlot = Extract<BitmapSlot, { kind: 'store' }>;

function newContent(
  { name, granularity, disabled = false, marks, merge = false }: BitmapToStore,
  allocated: DirtyBitmap,
  present: readonly StoredBitmap[],
): StoreSlot {
  const bitmap = cleanBitmap(allocated.virtualSizeBytes, Math.log2(granularity));
  if (marks === 'allocated') markAllocated(bitmap, allocated);
  else markAtRandom(bitmap, marks === 'sparse' ? 4096 : 1);
  const old = present.find((each) => each.name === name);
  if (merge && old?.bits !== undefined) {
    if (old.granularity !== granularity) throw new Error(`"${name}" has another granularity`);
    mergeInto(bitmap, bitmapOfBytes(bitmap.virtualSizeBytes, bitmap.granularityBits, old.bits));
  }
  return { kind: 'store', name, nameBytes: Buffer.from(name), auto: !disabled, bitmap };
}

/** Sector by sector. */
function markAllocated(bitmap: DirtyBitmap, { bits, granularityBits }: DirtyBitmap): void {
  const sectorBytes = 2 ** granularityBits;
  for (let sector = 0; sector < bits.bitCount; sector++) {
    if (hasBit(bits, sector)) markRange(bitmap, sector * sectorBytes, sectorBytes);
  }
}

/** The same marks each time, so that doing a change again leads to the same bitmap. */
function markAtRandom({ bits, granularityBits }: DirtyBitmap, oneByteIn: number): void {
  const random = seededRandom(granularityBits);
  const bytes = Math.ceil(bits.bitCount / 8);
  for (let byte = 0; byte < bytes; byte += oneByteIn) {
    replaceBytes(bits, byte, Uint8Array.of(1 + random.below(254)));
  }
}

function asStored({ name, auto, bitmap }: StoreSlot): StoredBitmap {
  return {
    name,
    granularity: 2 ** bitmap.granularityBits,
    flags: auto ? ['auto'] : [],
    bits: Buffer.from(flatBits(bitmap.bits)),
  };
}
