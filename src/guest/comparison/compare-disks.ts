/**
 * Compares two disks as guests see them. Reads only the parts that the maps do not show to be equal.
 */
import { alignDown, alignUp } from '../../bytes/align.ts';
import { cachedReads } from '../../storage/cached-reads.ts';
import type { MapExtent } from '../allocation/map-columns.ts';
import type { GuestReader } from '../data/guest-reader.ts';
import { differingUnits } from './differing-units.ts';
import { isShared, type Stretch, sideBySide } from './stretches.ts';

export interface Comparison {
  /** Resolution of the reported differences in bytes: a power of two from 512. */
  readonly unitBytes: number;
  /** Receives every difference in order, in whole units up to the end of the longer disk. */
  readonly onDifference: (offset: number, length: number) => void;
  /** End of the comparison. Default: the end of the longer disk. */
  readonly endBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Receives the progress along the disk from time to time. */
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

/**
 * Maximum size of one read on each side. Parts end at multiples of it, so that most contain whole clusters.
 * The buffers of all parts in flight fit into the processor's cache: larger ones take twice the time.
 */
const PART_BYTES = 256 * 1024;
const PARTS_IN_FLIGHT = 8;
/**
 * The same for reads from the page cache, one part after the other. The buffers fit into the cache of one
 * core.
 */
const CACHED_PART_BYTES = 64 * 1024;

/** A range to read on both sides. It consists of adjacent stretches. */
interface Part {
  readonly start: number;
  end: number;
  readonly stretches: Stretch[];
}

const SIDES = ['left', 'right'] as const;
type Side = (typeof SIDES)[number];
type Buffers = Readonly<Record<Side, Buffer>>;

/**
 * The shorter disk counts as zeros beyond its end.
 *
 * @throws RefusedError where encrypted data would have to be read, or an image is broken
 */
export async function compareDisks(
  left: GuestReader,
  right: GuestReader,
  comparison: Comparison,
): Promise<void> {
  const longest = Math.max(left.virtualSizeBytes, right.virtualSizeBytes);
  const endBytes = Math.min(comparison.endBytes ?? longest, longest);
  const { signal, onProgress } = comparison;
  const differences = unitRanges(comparison, endBytes);
  const ahead: { part: Part; buffers: Buffers; done: Promise<unknown> }[] = [];
  const readers = { left, right };
  const spare: Buffers[] = [];
  const cached = cachedReads();
  const single = newBuffers(CACHED_PART_BYTES);
  let isCached = true;

  /** Reads both sides of the part from the page cache, if that is possible. */
  function readNow(part: Part): boolean {
    return SIDES.every((side) => {
      for (const { extent, offset, into } of readsOf(part, side, single)) {
        if (!readers[side].readNow(extent, offset, into, cached)) return false;
      }
      return true;
    });
  }

  function readBoth(part: Part, buffers: Buffers): Promise<void> {
    return allDone(
      SIDES.flatMap((side) =>
        [...readsOf(part, side, buffers)].map(({ extent, offset, into }) =>
          readers[side].read(extent, offset, into),
        ),
      ),
    );
  }

  async function finishFirst(): Promise<void> {
    const { part, buffers, done } = ahead.shift()!;
    await done;
    signal?.throwIfAborted();
    compareParts(part, buffers, comparison.unitBytes, differences.add);
    spare.push(buffers);
    onProgress?.(part.end);
  }

  try {
    for await (const stretches of sideBySide(left, right, endBytes)) {
      signal?.throwIfAborted();
      for (const part of partsToRead(stretches, readers, () => (isCached ? CACHED_PART_BYTES : PART_BYTES))) {
        isCached &&= readNow(part);
        if (isCached) {
          compareParts(part, single, comparison.unitBytes, differences.add);
          const others = cached.giveWay();
          if (others === undefined) continue;
          await others;
          signal?.throwIfAborted();
          onProgress?.(part.end);
          continue;
        }
        if (ahead.length === PARTS_IN_FLIGHT) await finishFirst();
        const buffers = spare.pop() ?? newBuffers(PART_BYTES);
        const done = readBoth(part, buffers);
        done.catch(() => {}); // The later await reports the error.
        ahead.push({ part, buffers, done });
      }
      if (ahead.length === 0) onProgress?.(stretches.at(-1)!.end);
    }
    while (ahead.length > 0) await finishFirst();
  } finally {
    await Promise.allSettled(ahead.map(({ done }) => done));
  }
  differences.finish();
}

/** Joins and splits the stretches to read into parts that fit the buffers. */
function* partsToRead(
  stretches: readonly Stretch[],
  { left, right }: Record<Side, GuestReader>,
  partBytes: () => number,
): Generator<Part, undefined> {
  let part: Part | undefined;
  for (const stretch of stretches) {
    if (isShared(stretch, left, right)) continue;
    for (let start = stretch.start; start < stretch.end; ) {
      const most = partBytes();
      const end = Math.min(stretch.end, alignDown(start, most) + most);
      if (part !== undefined && part.end === start && start % most !== 0) {
        part.end = end;
        part.stretches.push(stretch);
      } else {
        if (part !== undefined) yield part;
        part = { start, end, stretches: [stretch] };
      }
      start = end;
    }
  }
  if (part !== undefined) yield part;
}

function newBuffers(length: number): Buffers {
  return { left: Buffer.allocUnsafeSlow(length), right: Buffer.allocUnsafeSlow(length) };
}

interface Read {
  readonly extent: MapExtent;
  readonly offset: number;
  readonly into: Buffer;
}

/** A read for each extent of one side that the part touches. */
function* readsOf({ start, end, stretches }: Part, side: Side, buffers: Buffers): Generator<Read> {
  for (let index = 0, offset = start; offset < end; index++) {
    const extent = stretches[index]![side];
    // The other side's extents may split one extent of this side into many stretches.
    while (index + 1 < stretches.length && stretches[index + 1]![side] === extent) index++;
    const next = Math.min(stretches[index]!.end, end);
    yield { extent, offset, into: buffers[side].subarray(offset - start, next - start) };
    offset = next;
  }
}

/** Fails only after all reads have ended. The caller may then close their files. */
async function allDone(reads: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(reads)) if (result.status === 'rejected') throw result.reason;
}

function compareParts(
  { start, end }: Part,
  { left, right }: Buffers,
  unitBytes: number,
  onDifference: (start: number, end: number) => void,
): void {
  const length = end - start;
  // Units are counted from the start of the disk. A part may begin inside a unit.
  const head = Math.min(alignUp(start, unitBytes) - start, length);
  for (const [from, to] of [
    [0, head],
    [head, length],
  ] as const) {
    differingUnits(left.subarray(from, to), right.subarray(from, to), unitBytes, (first, last) =>
      onDifference(start + from + first, start + from + last),
    );
  }
}

/** Rounds differences outward to whole units and joins adjacent ones. */
function unitRanges({ unitBytes, onDifference }: Comparison, diskEnd: number) {
  let from = 0;
  let to = 0;
  const flush = () => {
    if (to > from) onDifference(from, to - from);
  };
  return {
    add(start: number, end: number): void {
      const unitStart = alignDown(start, unitBytes);
      const unitEnd = Math.min(alignUp(end, unitBytes), diskEnd);
      if (unitStart > to) {
        flush();
        from = unitStart;
      }
      to = Math.max(to, unitEnd);
    },
    finish: flush,
  };
}
