/**
 * The map of a whole chain, as in `qemu-img map`. For each part of the disk it has the providing image and
 * the kind of data.
 */
import type { Layer } from '../../chain/layer.ts';
import { openRunReader, type RunReader } from './layer-runs.ts';
import { extentsOf, type MapColumns, type MapExtent } from './map-columns.ts';
import { NO_OFFSET, RUN, type RunKind, type Runs } from './runs.ts';

export interface MappedLayers {
  /** Returns the image `depth` steps below the top, or undefined below the last mapped image. */
  layer(depth: number): Promise<Layer | undefined>;
}

/** Maximum number of extents in one batch. */
const BATCH = 16 * 1024;

/** Like mapInColumns, with an object for each extent. */
export async function* chainMap(layers: MappedLayers): AsyncGenerator<MapExtent[]> {
  for await (const columns of mapInColumns(layers)) yield extentsOf(columns, false);
}

/**
 * Yields the extents of the disk in order, in batches. A disk may have millions of extents, and an await for
 * each would cost more than the read.
 */
export async function* mapInColumns({ layer }: MappedLayers): AsyncGenerator<MapColumns> {
  const top = (await layer(0))!;
  const cursors: Cursor[] = [await openCursor(top)];
  const columns = columnsBuilder(BATCH);
  let bottom: number | undefined;

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
      const below = cursors[depth + 1]?.layer ?? (depth === bottom ? undefined : await layer(depth + 1));
      if (below === undefined) bottom = depth;
      // A shorter backing image has no data past its end. The image above it reads as zeros there.
      if (below === undefined || offset >= below.virtualSizeBytes) break;
      end = Math.min(end, below.virtualSizeBytes);
      depth++;
      if (cursors.length === depth) cursors.push(await openCursor(below));
    }
    if (!columns.extend(end - offset, depth, kind, host)) {
      if (columns.isFull()) yield columns.take();
      columns.add(offset, end - offset, depth, kind, host);
    }
    offset = end;
  }
  const rest = columns.take();
  if (rest.count > 0) yield rest;
}

function columnsBuilder(size: number) {
  const starts = new Float64Array(size);
  const lengths = new Float64Array(size);
  const depths = new Uint16Array(size);
  const kinds = new Uint8Array(size);
  const hostOffsets = new Float64Array(size);
  let count = 0;
  return {
    isFull: () => count === size,
    add(start: number, length: number, depth: number, kind: RunKind, host: number): void {
      starts[count] = start;
      lengths[count] = length;
      depths[count] = depth;
      kinds[count] = kind;
      hostOffsets[count] = host;
      count++;
    },
    /** Extends the last extent, if the new part continues it. */
    extend(length: number, depth: number, kind: RunKind, host: number): boolean {
      const last = count - 1;
      if (count === 0 || kinds[last] !== kind || depths[last] !== depth) return false;
      const lastHost = hostOffsets[last]!;
      const next = lastHost === NO_OFFSET ? NO_OFFSET : lastHost + lengths[last]!;
      if (host !== next) return false;
      lengths[last]! += length;
      return true;
    },
    take(): MapColumns {
      const taken = { count, starts, lengths, depths, kinds, hostOffsets };
      count = 0;
      return taken;
    },
  };
}

/** A position in the runs of one image. It only moves forward. */
interface Cursor {
  readonly layer: Layer;
  /** Moves to the run that covers `offset`. Returns false if that run is not loaded yet. */
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
