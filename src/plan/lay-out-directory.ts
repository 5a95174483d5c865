/**
 * Assigns clusters to the parts of a new bitmap directory.
 */
import type { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import { encodeBitmap } from '../bitmap/encode-bitmap.ts';
import { alignUp } from '../bytes/align.ts';
import type { Chunk } from '../bytes/chunked-bits.ts';
import {
  type ClusterRange,
  eachCluster,
  type HostCluster,
  type HostOffset,
  offsetOf,
} from '../format/addresses.ts';
import { type BitmapDirectoryEntry, encodeBitmapDirectory } from '../format/bitmap-directory.ts';
import { type BitmapTableEntry, encodeBitmapTable } from '../format/bitmap-table.ts';
import { encodeBitmapsPayload } from '../format/bitmaps-extension.ts';
import type { Image } from '../image/image.ts';
import type { BitmapSlot } from './bitmap-slot.ts';
import type { Claims } from './claim-clusters.ts';
import { type Step, write } from './plan.ts';

/** Several new bitmaps often share one object, which is encoded once. */
export function encodeAll(stores: readonly { bitmap: DirtyBitmap }[], clusterSizeBytes: number): Chunk[][] {
  const known = new Map<DirtyBitmap, Chunk[]>();
  return stores.map(({ bitmap }) => {
    const pieces = known.get(bitmap) ?? encodeBitmap(bitmap, clusterSizeBytes);
    known.set(bitmap, pieces);
    return pieces;
  });
}

/** Assigns clusters to the directory, to every new table and to the data. Pure. */
export function layOut(
  image: Image,
  wanted: readonly BitmapSlot[],
  pieces: readonly Chunk[][],
  claims: Claims,
): { steps: Step[]; payload: Uint8Array | undefined } {
  const { header } = image;
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
    const tableOffset = offsetOf(tableRuns[stored]!.start, header);
    stored++;
    const data: Placed[] = [];
    const table = ownPieces.map((bytes): BitmapTableEntry => {
      if (typeof bytes !== 'object') return bytes;
      const dataOffset = offsetOf(nextCluster.next().value!, header);
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
  const offset = offsetOf(directoryRun!.start, header);
  steps.push(write(offset, wholeClusters(directory, image), 'bitmap directory'));
  return {
    steps,
    payload: encodeBitmapsPayload({ bitmapCount: entries.length, offset, sizeBytes: directory.length }),
  };
}

function* clustersOf(runs: readonly ClusterRange[]): Generator<HostCluster, undefined> {
  for (const run of runs) yield* eachCluster(run);
  return undefined;
}

interface Placed {
  readonly offset: HostOffset;
  readonly bytes: Uint8Array;
}

/**
 * Joins data clusters that are adjacent both in the file and in the bitmap into one write. Where clusters are
 * small, this keeps the plan short.
 */
function* joinAdjacent(parts: readonly Placed[]): Generator<Placed> {
  let current: Placed | undefined;
  for (const part of parts) {
    const { bytes } = part;
    if (
      current !== undefined &&
      current.bytes.buffer === bytes.buffer &&
      current.bytes.byteOffset + current.bytes.length === bytes.byteOffset &&
      current.offset + current.bytes.length === part.offset
    ) {
      const { byteOffset, length } = current.bytes;
      current = { ...current, bytes: new Uint8Array(bytes.buffer, byteOffset, length + bytes.length) };
    } else {
      if (current !== undefined) yield current;
      current = part;
    }
  }
  if (current !== undefined) yield current;
}

function wholeClusters(bytes: Uint8Array, { header }: Image): Uint8Array {
  const whole = new Uint8Array(alignUp(bytes.length, header.clusterSizeBytes));
  whole.set(bytes);
  return whole;
}
