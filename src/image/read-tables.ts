/**
 * Reads many tables of one cluster each in file order, some reads ahead of the caller: L2 tables, or refcount
 * blocks.
 */
import { alignDown } from '../bytes/align.ts';
import type { ByteRange, Span } from '../bytes/range.ts';
import { hostOffset } from '../format/addresses.ts';
import { visitOffsets } from '../format/table-entries.ts';
import { cachedReads } from '../storage/cached-reads.ts';
import { type Image, requireInside } from './image.ts';

/** Bytes per read, few enough to stay in the processor's cache. L2 tables of an image are often adjacent. */
const READ_BYTES = 256 * 1024;
/**
 * Twice the number of reading threads (see cli/main.ts). No thread idles while the first read in order delays
 * the others.
 */
const READS_AHEAD = 16;
/** If one table takes more than READ_BYTES, READS_AHEAD reads would take too much memory. */
const LARGE_READS_AHEAD = 8;
/** The limit for one batch, because a broken image may name one table a million times. */
const MAX_TABLES = 4096;

/** Positions in `order`, and the byte range of their tables. */
interface Batch extends Span, ByteRange {}

export interface TableReading {
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with the number of bytes read. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * The size of the `room` of `visitTables` for up to `tableCount` tables. More tables can be visited too, with
 * fewer reads at once.
 */
export function tableRoomBytes(image: Image, tableCount: number): number {
  const { sizeBytes } = image.storage;
  const { clusterSizeBytes } = image.header;
  const readsAhead = clusterSizeBytes > READ_BYTES ? LARGE_READS_AHEAD : READS_AHEAD;
  const most = readsAhead * mostTableBytes(image);
  const tables = Math.min(tableCount * clusterSizeBytes, alignDown(sizeBytes, clusterSizeBytes));
  return Math.max(clusterSizeBytes, Math.min(most, tables));
}

/** The maximum size of the tables of one visit. */
export function mostTableBytes({ header: { clusterSizeBytes } }: Image): number {
  return Math.max(READ_BYTES, clusterSizeBytes);
}

/** A small room has room for many short reads. */
function batchBytes(room: Uint8Array, { header: { clusterSizeBytes } }: Image): number {
  const bytes = Math.min(READ_BYTES, room.length / READS_AHEAD);
  return Math.max(alignDown(bytes, clusterSizeBytes), clusterSizeBytes);
}

/**
 * Visits each table that `offsets` names once. Tables of successive indexes that are adjacent in the file are
 * visited together.
 *
 * @param offsets offset of each table in bytes, 0 where there is none
 * @param room the buffer for the tables (see `tableRoomBytes`)
 * @param visit receives the index of the first table, and the tables as stored. The array is a part of
 * `room`, and valid only during the call.
 * @throws RefusedError when a table reaches beyond the end of the file
 */
export async function visitTables(
  image: Image,
  offsets: Float64Array,
  room: Uint8Array,
  visit: (index: number, tables: Uint8Array) => void,
  { signal, onBytes }: TableReading = {},
): Promise<void> {
  const { clusterSizeBytes } = image.header;
  const order = presentInFileOrder(offsets);
  const longest = batchBytes(room, image);
  const batches = batchesOf(image, offsets, order, longest);
  const onBatch = ({ start, end, offset, length }: Batch, buffer: Uint8Array): void => {
    signal?.throwIfAborted();
    for (let position = start; position < end; ) {
      const first = order[position]!;
      const firstOffset = offsets[first]!;
      let next = first;
      let nextOffset = firstOffset;
      do {
        position++;
        next++;
        nextOffset += clusterSizeBytes;
      } while (position < end && order[position] === next && offsets[next] === nextOffset);
      visit(first, buffer.subarray(firstOffset - offset, nextOffset - offset));
    }
    onBytes?.(length);
  };
  const rest = await readFromCache(image, batches, room, onBatch);
  if (rest !== undefined) await readAhead(image, rest, batches, longest, room, onBatch);
}

type OnBatch = (batch: Batch, buffer: Uint8Array) => void;

/**
 * Reads one batch after another, while the reads are as fast as from the page cache.
 *
 * @returns the first batch that was not visited
 */
async function readFromCache(
  { storage }: Image,
  batches: Iterator<Batch, undefined>,
  room: Uint8Array,
  onBatch: OnBatch,
): Promise<Batch | undefined> {
  const cached = cachedReads();
  for (let batch = batches.next().value; batch !== undefined; batch = batches.next().value) {
    const buffer = room.subarray(0, batch.length);
    if (!cached.read(storage, batch.offset, buffer)) return batch;
    onBatch(batch, buffer);
    const others = cached.giveWay();
    if (others !== undefined) await others;
  }
  return undefined;
}

/** Reads many batches at once. */
async function readAhead(
  { storage }: Image,
  first: Batch,
  batches: Iterator<Batch, undefined>,
  longest: number,
  room: Uint8Array,
  onBatch: OnBatch,
): Promise<void> {
  const ahead: { batch: Batch; buffer: Uint8Array; done: Promise<void> }[] = [];
  const start = (batch: Batch | undefined, buffer: Uint8Array): void => {
    if (batch === undefined) return;
    const done = storage.read(batch.offset, buffer.subarray(0, batch.length));
    done.catch(() => {}); // The later await reports the error.
    ahead.push({ batch, buffer, done });
  };
  try {
    start(first, room.subarray(0, longest));
    for (let at = longest; at + longest <= room.length; at += longest) {
      start(batches.next().value, room.subarray(at, at + longest));
    }
    for (let current = ahead.shift(); current !== undefined; current = ahead.shift()) {
      const { batch, buffer, done } = current;
      await done;
      onBatch(batch, buffer);
      start(batches.next().value, buffer);
    }
  } finally {
    await Promise.allSettled(ahead.map(({ done }) => done));
  }
}

function presentInFileOrder(offsets: Float64Array): Uint32Array {
  const indexes = new Uint32Array(offsets.length);
  let count = 0;
  let ascending = true;
  let last = 0;
  visitOffsets(offsets, (index, offset) => {
    ascending &&= offset >= last;
    last = offset;
    indexes[count++] = index;
  });
  const order = indexes.subarray(0, count);
  return ascending ? order : order.sort((a, b) => offsets[a]! - offsets[b]!);
}

/** Groups adjacent tables. A table that two entries name appears twice in a row. */
function* batchesOf(
  image: Image,
  offsets: Float64Array,
  order: Uint32Array,
  longest: number,
): Generator<Batch, undefined> {
  const { storage, header } = image;
  const { clusterSizeBytes } = header;
  let start = 0;
  while (start < order.length) {
    const offset = offsets[order[start]!]!;
    let end = start;
    let endOffset = offset;
    while (end < order.length) {
      const next = offsets[order[end]!]!;
      if (next > endOffset || next + clusterSizeBytes - offset > longest || end - start === MAX_TABLES) break;
      const table = order[end]!;
      const range = { offset: hostOffset(next), length: clusterSizeBytes };
      requireInside(storage, () => `L2 table ${table}`, range);
      endOffset = next + clusterSizeBytes;
      end++;
    }
    yield { start, end, offset, length: endOffset - offset };
    start = end;
  }
  return undefined;
}
