/**
 * The map of a whole chain: for each part of the disk, which image gives it and what it is, as `qemu-img map` says.
 */
import type { Layer } from '../../chain/layer.ts';
import { openRunReader, type RunReader } from './layer-runs.ts';
import { NO_OFFSET, RUN, type RunKind, type Runs } from './runs.ts';

/** One line of `qemu-img map --output=json`; sizes and offsets in bytes. */
export interface MapExtent {
  readonly start: number;
  readonly length: number;
  /** How many images below the top the one is that gives this part; 0 is the top. */
  readonly depth: number;
  /** Whether that image itself holds it; false where none does, and it reads as zeros. */
  readonly present: boolean;
  /** Known to read as zeros. */
  readonly zero: boolean;
  readonly data: boolean;
  readonly compressed: boolean;
  /** Where it starts in that image's file, or in its external data file; absent where that says nothing. */
  readonly offset?: number;
}

export interface MappedLayers {
  /** The image `depth` steps below the top, or undefined below the last one that counts. */
  layer(depth: number): Promise<Layer | undefined>;
}

/** Extents that one item of the iteration brings at most. */
const BATCH = 4096;

/**
 * Yields the extents of the disk from its start to its end, in batches: a disk may have millions of them, and
 * waiting for each would cost more than reading it.
 */
export async function* chainMap({ layer }: MappedLayers): AsyncGenerator<MapExtent[]> {
  const top = (await layer(0))!;
  const cursors: Cursor[] = [await openCursor(top)];
  let batch: MapExtent[] = [];
  let last: MapExtent | undefined;

  for (let offset = 0; offset < top.virtualSizeBytes; ) {
    let depth = 0;
    let end = top.virtualSizeBytes;
    let kind: RunKind = RUN.unallocated;
    let host = NO_OFFSET;
    for (;;) {
      const cursor = cursors[depth]!;
      if (!cursor.seek(offset)) await cursor.load(offset);
      end = Math.min(end, cursor.runEnd());
      kind = cursor.kind();
      host = cursor.hostOffset(offset);
      if (kind !== RUN.unallocated) break;
      const below = cursors[depth + 1]?.layer ?? (await layer(depth + 1));
      // Past the end of a shorter backing image nothing is allocated: this image gives zeros.
      if (below === undefined || offset >= below.virtualSizeBytes) break;
      end = Math.min(end, below.virtualSizeBytes);
      depth++;
      if (cursors.length === depth) cursors.push(await openCursor(below));
    }
    const next = extent(offset, end - offset, depth, kind, host);
    offset = end;
    if (last !== undefined && joins(last, next)) {
      last = { ...last, length: last.length + next.length };
      continue;
    }
    if (last !== undefined) batch.push(last);
    last = next;
    if (batch.length === BATCH) {
      yield batch;
      batch = [];
    }
  }
  if (last !== undefined) batch.push(last);
  if (batch.length > 0) yield batch;
}

function extent(start: number, length: number, depth: number, kind: RunKind, host: number): MapExtent {
  return {
    start,
    length,
    depth,
    present: kind !== RUN.unallocated,
    zero: kind === RUN.zero || kind === RUN.hole || kind === RUN.unallocated,
    data: kind === RUN.data || kind === RUN.hole || kind === RUN.compressed,
    compressed: kind === RUN.compressed,
    ...(host === NO_OFFSET ? {} : { offset: host }),
  };
}

function joins(a: MapExtent, b: MapExtent): boolean {
  return (
    a.depth === b.depth &&
    a.present === b.present &&
    a.zero === b.zero &&
    a.data === b.data &&
    a.compressed === b.compressed &&
    (a.offset === undefined ? b.offset === undefined : a.offset + a.length === b.offset)
  );
}

/** A place in the runs of one image, moving forward. */
interface Cursor {
  readonly layer: Layer;
  /** Moves to the run that covers `offset`; false when it is not loaded yet. */
  seek(offset: number): boolean;
  load(offset: number): Promise<void>;
  runEnd(): number;
  kind(): RunKind;
  hostOffset(offset: number): number;
}

async function openCursor(layer: Layer): Promise<Cursor> {
  const reader: RunReader = await openRunReader(layer);
  let runs: Runs | undefined;
  let position = 0;
  const runStart = () => (position === 0 ? runs!.start : runs!.ends[position - 1]!);
  return {
    layer,
    seek(offset) {
      if (runs === undefined || offset >= runs.end) return false;
      while (runs.ends[position]! <= offset) position++;
      return true;
    },
    async load(offset) {
      runs = await reader.read(offset);
      position = 0;
    },
    runEnd: () => runs!.ends[position]!,
    kind: () => runs!.kinds[position] as RunKind,
    hostOffset(offset) {
      const host = runs!.hostOffsets[position]!;
      return host === NO_OFFSET ? NO_OFFSET : host + (offset - runStart());
    },
  };
}
