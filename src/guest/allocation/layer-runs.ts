/**
 * Reads the allocation of one image of a chain in parts, as runs.
 */
import { divideUp } from '../../bytes/align.ts';
import type { Span } from '../../bytes/range.ts';
import { view } from '../../bytes/struct.ts';
import type { Layer, Qcow2Layer, RawLayer } from '../../chain/layer.ts';
import {
  type GuestOffset,
  type HostOffset,
  hostOffset,
  guestOffset as toGuestOffset,
} from '../../format/addresses.ts';
import { hex } from '../../format/format-error.ts';
import { guestBytesPerL2Table, l2EntriesPerTable, subclusterSizeBytes } from '../../format/header.ts';
import { type Cluster, decodeL2Entry } from '../../format/l2-entry.ts';
import {
  hasPlainEntries,
  isPlain,
  type OddBits,
  oddBits,
  plainHostOffset,
  plainIsZero,
} from '../../format/l2-plain.ts';
import { readL2Entry } from '../../format/l2-table.ts';
import type { Image } from '../../image/image.ts';
import { naming, readActiveTables, requireInside } from '../../image/image.ts';
import { hostRange } from '../../image/scan.ts';
import { dataRanges } from '../../storage/holes.ts';
import { holesUnderData, withHoles } from './holes-under-data.ts';
import { NO_OFFSET, RUN, type Runs, type RunsBuilder, runsBuilder, type Units } from './runs.ts';

/** Large enough that a read takes less time than the work on its result. Limits the memory of a part. */
const ENTRIES_PER_PART = 64 * 1024;

export interface RunReader {
  /**
   * Returns the runs of one part from `start`. They end after `start` and at most at the end of the image's
   * disk. The result is valid until the next call.
   */
  read(start: number): Promise<Runs>;
}

export async function runReader(layer: Layer): Promise<RunReader> {
  return layer.format === 'qcow2' ? qcow2Reader(layer) : rawReader(layer);
}

async function qcow2Reader(layer: Qcow2Layer): Promise<RunReader> {
  const { image } = layer;
  const { header } = image;
  const stretchAt = await holesUnderData(layer);
  const { l2Offsets } = await readActiveTables(image);
  const tableBytes = guestBytesPerL2Table(header);
  const tablesPerPart = Math.max(1, Math.floor(ENTRIES_PER_PART / l2EntriesPerTable(header)));

  const entryCount = l2EntriesPerTable(header);
  const room = new Uint8Array(tablesPerPart * header.clusterSizeBytes);
  const units = { kinds: new Uint8Array(entryCount), hostOffsets: new Float64Array(entryCount) };
  const runs = runsBuilder();
  const split = runsBuilder();

  return {
    async read(start) {
      const diskEnd = header.virtualSizeBytes;
      const firstIndex = Math.floor(start / tableBytes);
      const indexes: number[] = [];
      let endIndex = firstIndex;
      while (endIndex * tableBytes < diskEnd && indexes.length < tablesPerPart) {
        if (l2Offsets[endIndex] !== 0) indexes.push(endIndex);
        endIndex++;
      }
      const tables = await Promise.all(
        indexes.map((index, position) => {
          const table = room.subarray(
            position * header.clusterSizeBytes,
            (position + 1) * header.clusterSizeBytes,
          );
          return readTable(image, index, hostOffset(l2Offsets[index]!), table);
        }),
      );
      runs.reset(start);
      for (const [position, index] of indexes.entries()) {
        const tableStart = index * tableBytes;
        if (tableStart > runs.end) runs.add(tableStart, RUN.unallocated, NO_OFFSET);
        addTable(image, tables[position]!, tableStart, start, units, runs);
      }
      const end = Math.min(endIndex * tableBytes, diskEnd);
      if (end > runs.end) runs.add(end, RUN.unallocated, NO_OFFSET);
      return stretchAt === undefined ? runs.finish() : withHoles(runs.finish(), stretchAt, split);
    },
  };
}

async function readTable(
  { storage }: Image,
  index: number,
  offset: HostOffset,
  table: Uint8Array,
): Promise<Uint8Array> {
  requireInside(storage, () => `L2 table ${index}`, { offset, length: table.length });
  await storage.read(offset, table);
  return table;
}

function addTable(
  image: Image,
  table: Uint8Array,
  tableStart: number,
  start: number,
  units: Units,
  runs: RunsBuilder,
): void {
  const { storage, header } = image;
  const { clusterSizeBytes, virtualSizeBytes } = header;
  const first = Math.max(0, Math.floor((start - tableStart) / clusterSizeBytes));
  const end = Math.min(l2EntriesPerTable(header), divideUp(virtualSizeBytes - tableStart, clusterSizeBytes));
  const wholeEnd = Math.min(end, Math.floor((virtualSizeBytes - tableStart) / clusterSizeBytes));
  const odd = hasPlainEntries(header) ? oddBits(header) : undefined;
  const words = view(table);
  naming(storage, () => {
    for (let index = first; index < end; ) {
      const guestOffset = toGuestOffset(tableStart + index * clusterSizeBytes);
      // Not for a cluster that `runs` has in part already.
      if (odd !== undefined && guestOffset === runs.end) {
        const count = decodePlain(image, words, { start: index, end: wholeEnd }, odd, units);
        runs.addUnits(units, count, clusterSizeBytes);
        index += count;
        if (count > 0) continue;
      }
      addEntry(image, table, index, guestOffset, runs);
      index++;
    }
  });
}

/**
 * Decodes the plain entries up to the first one that is not plain.
 *
 * @returns their number
 */
function decodePlain(
  { storage, header }: Image,
  words: DataView,
  { start, end }: Span,
  odd: OddBits,
  { kinds, hostOffsets }: Units,
): number {
  const { sizeBytes } = storage;
  const isEncrypted = header.cryptMethod !== 'none';
  for (let index = start; index < end; index++) {
    const high = words.getInt32(index * 8);
    const low = words.getInt32(index * 8 + 4);
    const offset = plainHostOffset(high, low);
    if (!isPlain(high, low, odd) || offset >= sizeBytes) return index - start;
    kinds[index - start] = plainIsZero(low) ? RUN.zero : offset === 0 ? RUN.unallocated : RUN.data;
    hostOffsets[index - start] = offset === 0 || isEncrypted ? NO_OFFSET : offset;
  }
  return Math.max(0, end - start);
}

function addEntry(
  image: Image,
  table: Uint8Array,
  index: number,
  guestOffset: GuestOffset,
  runs: RunsBuilder,
): void {
  const { storage, header } = image;
  const cluster = decodeL2Entry(readL2Entry(table, index, header), guestOffset, header);
  const host = hostRange(cluster, header);
  if (host !== undefined) {
    const what = () => `the cluster of disk offset ${hex(guestOffset)}`;
    requireInside(storage, what, { offset: host.offset, length: 1 });
  }
  addCluster(image, cluster, guestOffset, runs);
}

/** Adds the part of a cluster that `runs` has not covered yet. */
function addCluster({ header }: Image, cluster: Cluster, guestOffset: number, runs: RunsBuilder): void {
  const encrypted = header.cryptMethod !== 'none';
  const add = (
    from: number,
    to: number,
    kind: Parameters<RunsBuilder['add']>[1],
    host: number | undefined,
  ) => {
    const end = Math.min(guestOffset + to, header.virtualSizeBytes);
    const begin = runs.end;
    if (end <= begin) return;
    // The host offset of encrypted data is useless to a reader. QEMU omits it too.
    const known = host !== undefined && !encrypted;
    runs.add(end, kind, known ? host + from + (begin - guestOffset - from) : NO_OFFSET);
  };
  const size = header.clusterSizeBytes;
  switch (cluster.kind) {
    case 'unallocated':
      add(0, size, RUN.unallocated, undefined);
      return;
    case 'data':
      add(0, size, RUN.data, cluster.hostOffset);
      return;
    case 'zero':
      add(0, size, RUN.zero, cluster.hostOffset);
      return;
    case 'compressed':
      add(0, size, RUN.compressed, undefined);
      return;
    case 'subclusters': {
      const unit = subclusterSizeBytes(header);
      for (let index = 0; index < size / unit; index++) {
        const from = index * unit;
        if (((cluster.dataMask >>> index) & 1) !== 0) add(from, from + unit, RUN.data, cluster.hostOffset);
        else if (((cluster.zeroMask >>> index) & 1) !== 0)
          add(from, from + unit, RUN.zero, cluster.hostOffset);
        else add(from, from + unit, RUN.unallocated, undefined);
      }
    }
  }
}

/** A raw image provides all of its disk. Holes of the file read as zeros. */
function rawReader({ storage, virtualSizeBytes }: RawLayer): RunReader {
  const runs = runsBuilder();
  return {
    async read(start) {
      runs.reset(start);
      const ranges = (await dataRanges(storage.fd, start, virtualSizeBytes)) ?? [
        { start, end: virtualSizeBytes },
      ];
      for (const range of ranges) {
        if (range.start > runs.end) runs.add(range.start, RUN.zero, runs.end);
        runs.add(range.end, RUN.data, range.start);
        if (runs.count >= ENTRIES_PER_PART) return runs.finish();
      }
      if (virtualSizeBytes > runs.end) runs.add(virtualSizeBytes, RUN.zero, runs.end);
      return runs.finish();
    },
  };
}
