/**
 * Plans how an image gets another set of bitmaps: new clusters first, then one switch in the header, then the old
 * clusters are given back.
 */

import type { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import { type BitmapPiece, encodeBitmap } from '../bitmap/encode-bitmap.ts';
import { alignUp, divideUp } from '../bytes/align.ts';
import { getBit, setBit } from '../bytes/bits.ts';
import { addOwnRange, addRange, type HostClusters } from '../census/host-clusters.ts';
import { RefusedError } from '../errors.ts';
import {
  type BitmapDirectoryEntry,
  bitmapDirectoryBytes,
  encodeBitmapDirectory,
} from '../format/bitmap-directory.ts';
import {
  BITMAP_TABLE_ENTRY_BYTES,
  type BitmapTableEntry,
  encodeBitmapTable,
} from '../format/bitmap-table.ts';
import {
  encodeBitmapsPayload,
  MAX_BITMAP_DIRECTORY_BYTES,
  MAX_BITMAPS,
} from '../format/bitmaps-extension.ts';
import { hex } from '../format/format-error.ts';
import type { Image } from '../image/image.ts';
import type { Refcounts } from '../image/refcount-table.ts';
import { bitmapRanges, readBitmapTable, readUnsoundTable } from '../image/stored-bitmaps.ts';
import { shellPath } from '../text/shell-word.ts';
import { type Claims, claimClusters, claimedRuns, clusterCount } from './claim-clusters.ts';
import { type ClusterRun, freeClusters } from './free-clusters.ts';
import { planHeaderSwitch } from './header-switch.ts';
import { flush, type Plan, type Step, write } from './plan.ts';
import { loadBlocks, planRefcounts, tableRun } from './refcount-steps.ts';

/** A place in the new directory: a bitmap that stays where it is, or one whose content is to be written. */
export type BitmapSlot =
  | { readonly kind: 'keep'; readonly entry: BitmapDirectoryEntry }
  | {
      readonly kind: 'store';
      readonly nameBytes: Uint8Array;
      readonly name: string;
      readonly auto: boolean;
      /** Marked so: there to be rebuilt under its name, and for QEMU to leave alone. */
      readonly inUse?: boolean;
      readonly bitmap: DirtyBitmap;
    };

export interface BitmapChange {
  /** The directory as it is. */
  readonly present: readonly BitmapDirectoryEntry[];
  /** The directory as it shall be; a present entry that is not kept is dropped and its clusters given back. */
  readonly wanted: readonly BitmapSlot[];
}

/**
 * @param referenced every cluster that anything but bitmaps points at; bitmaps are added here
 * @throws RefusedError when a limit of QEMU would be broken or a kept bitmap is unsound
 */
export async function planBitmapChange(
  image: Image,
  referenced: HostClusters,
  refcounts: Refcounts,
  { present, wanted }: BitmapChange,
): Promise<Plan> {
  await addKeptBitmaps(image, referenced, wanted);
  const released = await takeReleased(image, referenced, present, wanted);
  return planDirectory(image, referenced, refcounts, wanted, { released, leaked: [] });
}

export interface ClustersToFree {
  /** What is in use until the new directory is. */
  readonly released: readonly ClusterRun[];
  /** What is counted though nothing points at it. */
  readonly leaked: readonly ClusterRun[];
}

/**
 * Plans a new directory.
 *
 * @param referenced every cluster that anything points at, and that must not be taken
 * @throws RefusedError when a limit of QEMU would be broken or there is no room
 */
export async function planDirectory(
  image: Image,
  referenced: HostClusters,
  refcounts: Refcounts,
  wanted: readonly BitmapSlot[],
  { released, leaked }: ClustersToFree,
): Promise<Plan> {
  const { header } = image;
  const { clusterSizeBytes } = header;
  const stores = wanted.filter((slot) => slot.kind === 'store');
  const pieces = encodeAll(stores, clusterSizeBytes);
  const directoryBytes = plannedDirectoryBytes(image, wanted);
  const claims = await claimClusters(image, refcounts, freeClusters(image, referenced, refcounts), {
    contiguous: [
      ...(wanted.length === 0 ? [] : [divideUp(directoryBytes, clusterSizeBytes)]),
      ...pieces.map(({ length }) => divideUp(length * BITMAP_TABLE_ENTRY_BYTES, clusterSizeBytes)),
    ],
    scattered: pieces.flat().filter((piece) => typeof piece === 'object').length,
  });
  const claimed = claimedRuns(claims);
  const newEndOffset = claimed.reduce(
    (end, run) => Math.max(end, run.end * clusterSizeBytes),
    image.storage.sizeBytes,
  );

  const oldTable = claims.newTable === undefined ? [] : [tableRun(image, refcounts)];
  const blocks = await loadBlocks(image, refcounts, [...claimed, ...released, ...leaked, ...oldTable]);
  const refcountSteps = planRefcounts(image, refcounts, blocks, claims, released, leaked);
  const { steps: contentSteps, payload } = layOut(image, wanted, pieces, claims);
  const headerCluster = withWrites(image.headerCluster, refcountSteps.reveal);
  const headerSwitch = planHeaderSwitch({ ...image, headerCluster }, payload);

  const before = [
    ...headerSwitch.first,
    // Content first: where space runs out, it does so while nothing is claimed yet.
    ...contentSteps,
    ...refcountSteps.claim,
    ...headerSwitch.prepare,
    ...(claimed.length === 0 ? [] : [flush('new clusters and their refcounts')]),
    ...refcountSteps.reveal,
    ...headerSwitch.commit,
  ];
  const after = [
    ...headerSwitch.after,
    ...refcountSteps.release,
    ...(refcountSteps.release.length === 0 ? [] : [flush('released refcounts')]),
  ];
  return {
    steps: [...before, ...after],
    commitIndex: before.length - 1,
    claimedClusters: clusterCount(claimed),
    releasedClusters: clusterCount([...released, ...leaked, ...oldTable]),
    newEndOffset,
  };
}

/** Many new bitmaps often are one: it is looked through once. */
function encodeAll(stores: readonly { bitmap: DirtyBitmap }[], clusterSizeBytes: number): BitmapPiece[][] {
  const known = new Map<DirtyBitmap, BitmapPiece[]>();
  return stores.map(({ bitmap }) => {
    const pieces = known.get(bitmap) ?? encodeBitmap(bitmap, clusterSizeBytes);
    known.set(bitmap, pieces);
    return pieces;
  });
}

/** @throws RefusedError when a kept bitmap is unsound or shares its clusters */
export async function addKeptBitmaps(
  image: Image,
  referenced: HostClusters,
  wanted: readonly BitmapSlot[],
): Promise<void> {
  for (const slot of wanted) {
    if (slot.kind !== 'keep') continue;
    const table = await readBitmapTable(image, slot.entry);
    for (const { offset, lengthBytes } of bitmapRanges(image, slot.entry, table)) {
      // What a bitmap in use points at is a guess, and yet QEMU frees it with the bitmap: none of it may be claimed.
      if (slot.entry.inUse) {
        requireInsideFile(image, slot.entry, offset + lengthBytes);
        addRange(referenced, image, offset, lengthBytes);
      } else addOwnRange(referenced, image, `bitmap "${slot.entry.name}"`, offset, lengthBytes);
    }
  }
}

function requireInsideFile({ storage, header }: Image, { name }: BitmapDirectoryEntry, end: number): void {
  if (end <= alignUp(storage.sizeBytes, header.clusterSizeBytes)) return;
  throw new RefusedError(
    'BITMAP_INCONSISTENT',
    `${storage.name}: bitmap "${name}" is marked in-use and points beyond the end of the file at ${hex(storage.sizeBytes)}`,
    {
      hint: `Repair the bitmaps of the image first: bitmap-tool repair --directory ${shellPath(storage.name)}`,
      context: { file: storage.name, bitmap: name },
    },
  );
}

/** What the dropped bitmaps and the old directory alone point at. It stays in use until the switch is durable. */
async function takeReleased(
  image: Image,
  referenced: HostClusters,
  present: readonly BitmapDirectoryEntry[],
  wanted: readonly BitmapSlot[],
): Promise<ClusterRun[]> {
  const { header, bitmaps } = image;
  const ranges: { offset: number; lengthBytes: number }[] = [];
  if (bitmaps.kind === 'live') {
    ranges.push({ offset: bitmaps.directory.offset, lengthBytes: bitmaps.directory.sizeBytes });
  }
  const kept = new Set(wanted.map((slot) => (slot.kind === 'keep' ? slot.entry.tableOffset : undefined)));
  for (const entry of present) {
    if (kept.has(entry.tableOffset)) continue;
    // Millions of ranges are too many for the arguments of one call.
    for (const range of bitmapRanges(image, entry, await tableOf(image, entry))) ranges.push(range);
  }
  const released: ClusterRun[] = [];
  for (const { offset, lengthBytes } of ranges) {
    const end = Math.min(divideUp(offset + lengthBytes, header.clusterSizeBytes), referenced.clusterCount);
    for (let cluster = offset / header.clusterSizeBytes; cluster < end; cluster++) {
      if (getBit(referenced.bits, cluster)) continue;
      setBit(referenced.bits, cluster);
      released.push({ start: cluster, end: cluster + 1 });
    }
  }
  return released;
}

/** The header as it will be by then: a refcount table that moves is named in it. */
function withWrites(headerCluster: Uint8Array, steps: readonly Step[]): Uint8Array {
  const result = headerCluster.slice();
  for (const step of steps) {
    if (step.kind === 'write' && step.offset < result.length) result.set(step.bytes, step.offset);
  }
  return result;
}

/** A bitmap whose table is broken must still be removable. */
async function tableOf(image: Image, entry: BitmapDirectoryEntry): Promise<readonly BitmapTableEntry[]> {
  try {
    return await readBitmapTable(image, entry);
  } catch (error) {
    if (error instanceof RefusedError) return readUnsoundTable(image, entry);
    throw error;
  }
}

function plannedDirectoryBytes({ storage }: Image, wanted: readonly BitmapSlot[]): number {
  const sizeBytes = bitmapDirectoryBytes(wanted.map((slot) => (slot.kind === 'keep' ? slot.entry : slot)));
  if (wanted.length > MAX_BITMAPS || sizeBytes > MAX_BITMAP_DIRECTORY_BYTES) {
    throw new RefusedError(
      'BITMAP_LIMIT',
      `${storage.name}: ${wanted.length} bitmaps in a directory of ${sizeBytes} bytes, QEMU allows ${MAX_BITMAPS} in ${MAX_BITMAP_DIRECTORY_BYTES} bytes`,
      { hint: 'Remove bitmaps that are no longer needed.', context: { file: storage.name } },
    );
  }
  return sizeBytes;
}

/** Gives every new table, data cluster and the directory its place. Pure. */
function layOut(
  image: Image,
  wanted: readonly BitmapSlot[],
  pieces: readonly BitmapPiece[][],
  claims: Claims,
): { steps: Step[]; payload: Uint8Array | undefined } {
  const { clusterSizeBytes } = image.header;
  if (wanted.length === 0) return { steps: [], payload: undefined };
  const [directoryRun, ...tableRuns] = claims.contiguous;
  const nextCluster = clustersOf(claims.scattered);
  const steps: Step[] = [];
  const entries: BitmapDirectoryEntry[] = [];
  let stored = 0;
  for (const slot of wanted) {
    if (slot.kind === 'keep') {
      entries.push(slot.entry);
      continue;
    }
    const ownPieces = pieces[stored]!;
    const tableOffset = tableRuns[stored]!.start * clusterSizeBytes;
    stored++;
    const data: { offset: number; bytes: Uint8Array }[] = [];
    const table = ownPieces.map((bytes): BitmapTableEntry => {
      if (typeof bytes !== 'object') return bytes;
      const dataOffset = nextCluster.next().value! * clusterSizeBytes;
      data.push({ offset: dataOffset, bytes });
      return { dataOffset };
    });
    for (const { offset, bytes } of joinAdjacent(data))
      steps.push(write(offset, bytes, `data of bitmap "${slot.name}"`));
    steps.push(
      write(tableOffset, wholeClusters(encodeBitmapTable(table), image), `table of bitmap "${slot.name}"`),
    );
    entries.push({
      nameBytes: slot.nameBytes,
      name: slot.name,
      granularityBits: slot.bitmap.granularityBits,
      auto: slot.auto,
      inUse: slot.inUse ?? false,
      tableOffset,
      tableEntryCount: table.length,
    });
  }
  const directory = encodeBitmapDirectory(entries);
  const offset = directoryRun!.start * clusterSizeBytes;
  steps.push(write(offset, wholeClusters(directory, image), 'bitmap directory'));
  return {
    steps,
    payload: encodeBitmapsPayload({ bitmapCount: entries.length, offset, sizeBytes: directory.length }),
  };
}

function* clustersOf(runs: readonly ClusterRun[]): Generator<number, undefined> {
  for (const { start, end } of runs) for (let cluster = start; cluster < end; cluster++) yield cluster;
  return undefined;
}

/** Makes one write of data clusters that lie side by side both in the file and in the bitmap. */
function* joinAdjacent(
  parts: readonly { offset: number; bytes: Uint8Array }[],
): Generator<{ offset: number; bytes: Uint8Array }> {
  let current: { offset: number; bytes: Uint8Array } | undefined;
  for (const part of parts) {
    const { bytes } = part;
    if (
      current !== undefined &&
      current.bytes.buffer === bytes.buffer &&
      current.bytes.byteOffset + current.bytes.length === bytes.byteOffset &&
      current.offset + current.bytes.length === part.offset
    ) {
      current.bytes = new Uint8Array(
        bytes.buffer,
        current.bytes.byteOffset,
        current.bytes.length + bytes.length,
      );
    } else {
      if (current !== undefined) yield current;
      current = { ...part };
    }
  }
  if (current !== undefined) yield current;
}

function wholeClusters(bytes: Uint8Array, { header }: Image): Uint8Array {
  const whole = new Uint8Array(alignUp(bytes.length, header.clusterSizeBytes));
  whole.set(bytes);
  return whole;
}
