/**
 * Reads many L2 tables in the order in which they lie in the file, some reads ahead of the caller.
 */
import { alignDown } from '../bytes/align.ts';
import type { Header } from '../format/header.ts';
import { type Image, requireInside } from './image.ts';

/** What one read brings; L2 tables of an image often lie side by side. */
const READ_BYTES = 512 * 1024;
const READS_IN_FLIGHT = 16;
/** Of one batch: a broken image may name one table a million times. */
const MAX_TABLES = 4096;

interface Batch {
  /** Positions in `order`, from the first up to, not including, the last. */
  readonly start: number;
  readonly end: number;
  readonly offset: number;
  readonly lengthBytes: number;
}

export interface L2Reading {
  readonly signal?: AbortSignal | undefined;
  /** Told now and then how many bytes of tables were read. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** What `visitL2Tables` needs as `room`. */
export function tableRoomBytes(header: Header): number {
  return READS_IN_FLIGHT * batchBytes(header);
}

function batchBytes({ clusterSizeBytes }: Header): number {
  return Math.max(alignDown(READ_BYTES, clusterSizeBytes), clusterSizeBytes);
}

/**
 * Calls `visit` once for each L2 table that `l2Offsets` names.
 *
 * @param l2Offsets offset of each table in bytes by L1 index, 0 where there is none
 * @param room where tables are read to
 * @param visit gets the table as stored, a part of `room`, valid only during the call
 * @throws RefusedError when a table reaches beyond the end of the file
 */
export async function visitL2Tables(
  image: Image,
  l2Offsets: Float64Array,
  room: Uint8Array,
  visit: (l1Index: number, table: Uint8Array) => void,
  { signal, onBytes }: L2Reading = {},
): Promise<void> {
  const { storage, header } = image;
  const { clusterSizeBytes } = header;
  const order = presentInFileOrder(l2Offsets);
  const longest = batchBytes(header);
  const batches = batchesOf(image, l2Offsets, order, longest);

  const ahead: { batch: Batch; buffer: Uint8Array; done: Promise<void> }[] = [];
  const startNext = (buffer: Uint8Array): void => {
    const next = batches.next();
    if (next.done) return;
    const batch = next.value;
    const done = storage.read(batch.offset, buffer.subarray(0, batch.lengthBytes));
    done.catch(() => {}); // The one that awaits it in turn reports it.
    ahead.push({ batch, buffer, done });
  };
  try {
    for (let i = 0; i < READS_IN_FLIGHT; i++) startNext(room.subarray(i * longest, (i + 1) * longest));
    for (let current = ahead.shift(); current !== undefined; current = ahead.shift()) {
      const { batch, buffer, done } = current;
      await done;
      signal?.throwIfAborted();
      for (let position = batch.start; position < batch.end; position++) {
        const l1Index = order[position]!;
        const at = l2Offsets[l1Index]! - batch.offset;
        visit(l1Index, buffer.subarray(at, at + clusterSizeBytes));
      }
      onBytes?.(batch.lengthBytes);
      startNext(buffer);
    }
  } finally {
    await Promise.allSettled(ahead.map(({ done }) => done));
  }
}

function presentInFileOrder(l2Offsets: Float64Array): Uint32Array {
  let count = 0;
  for (let index = 0; index < l2Offsets.length; index++) if (l2Offsets[index] !== 0) count++;
  const order = new Uint32Array(count);
  let ascending = true;
  let last = 0;
  for (let index = 0, position = 0; index < l2Offsets.length; index++) {
    const offset = l2Offsets[index]!;
    if (offset === 0) continue;
    ascending &&= offset >= last;
    last = offset;
    order[position++] = index;
  }
  return ascending ? order : order.sort((a, b) => l2Offsets[a]! - l2Offsets[b]!);
}

/** Groups tables that lie side by side; one that two L1 entries name comes twice in a row. */
function* batchesOf(
  { storage, header }: Image,
  l2Offsets: Float64Array,
  order: Uint32Array,
  longest: number,
): Generator<Batch, undefined> {
  const { clusterSizeBytes } = header;
  let start = 0;
  while (start < order.length) {
    const offset = l2Offsets[order[start]!]!;
    let end = start;
    let endOffset = offset;
    while (end < order.length) {
      const next = l2Offsets[order[end]!]!;
      if (next > endOffset || next + clusterSizeBytes - offset > longest || end - start === MAX_TABLES) break;
      requireInside(storage, `L2 table ${order[end]}`, next, clusterSizeBytes);
      endOffset = next + clusterSizeBytes;
      end++;
    }
    yield { start, end, offset, lengthBytes: endOffset - offset };
    start = end;
  }
  return undefined;
}
