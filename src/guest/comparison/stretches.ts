/**
 * Walks along two disks in parallel and finds equal parts without reading their data.
 */
import type { Span } from '../../bytes/range.ts';
import type { MapExtent } from '../allocation/map-columns.ts';
import type { GuestReader } from '../data/guest-reader.ts';

/** Bytes [start, end) of the disk. They lie in one extent on each side. */
export interface Stretch extends Span {
  readonly left: MapExtent;
  readonly right: MapExtent;
}

const BATCH = 4096;

/**
 * Yields the stretches from 0 to `endBytes` in order, in batches. The shorter disk is extended with zeros, as
 * in `qemu-img compare`.
 */
export async function* sideBySide(
  leftReader: GuestReader,
  rightReader: GuestReader,
  endBytes: number,
): AsyncGenerator<Stretch[]> {
  const left = extentCursor(leftReader);
  const right = extentCursor(rightReader);
  try {
    let batch: Stretch[] = [];
    for (let start = 0; start < endBytes; ) {
      const leftExtent = left.at(start) ?? (await left.load(start));
      const rightExtent = right.at(start) ?? (await right.load(start));
      const end = Math.min(endOf(leftExtent), endOf(rightExtent), endBytes);
      batch.push({ start, end, left: leftExtent, right: rightExtent });
      start = end;
      if (batch.length === BATCH || start === endBytes) {
        yield batch;
        batch = [];
      }
    }
  } finally {
    await left.close();
    await right.close();
  }
}

interface ExtentCursor {
  /** Returns the extent that covers `offset`, or undefined if it is not loaded yet. */
  at(offset: number): MapExtent | undefined;
  load(offset: number): Promise<MapExtent>;
  close(): Promise<void>;
}

function extentCursor({ extents, virtualSizeBytes }: GuestReader): ExtentCursor {
  const batches = extents();
  let batch: readonly MapExtent[] = [];
  let position = 0;

  function at(offset: number): MapExtent | undefined {
    while (position < batch.length && endOf(batch[position]!) <= offset) position++;
    return batch[position];
  }
  return {
    at,
    async load(offset) {
      const next = await batches.next();
      batch = next.done ? [zerosFrom(virtualSizeBytes)] : next.value;
      position = 0;
      return at(offset)!;
    },
    close: async () => void (await batches.return(undefined)),
  };
}

function endOf({ start, length }: MapExtent): number {
  return start + length;
}

function zerosFrom(start: number): MapExtent {
  const length = Number.POSITIVE_INFINITY;
  return { start, length, depth: 0, present: false, zero: true, data: false, compressed: false };
}

/**
 * Whether both sides certainly read the same bytes. Both read as zeros, or from the same image, or from the
 * same place in one file. Both sides always have the same disk offset.
 */
export function isShared(
  { start, left, right }: Stretch,
  leftReader: GuestReader,
  rightReader: GuestReader,
): boolean {
  if (left.zero || right.zero) return left.zero && right.zero;
  const [one, other] = [leftReader.source(left), rightReader.source(right)];
  if (one.imageIdentity === other.imageIdentity) return true;
  return (
    one.dataIdentity === other.dataIdentity &&
    left.offset !== undefined &&
    right.offset !== undefined &&
    left.offset + (start - left.start) === right.offset + (start - right.start)
  );
}
