/**
 * The map of a whole chain, as in `qemu-img map`. For each part of the disk it has the providing image and
 * the kind of data.
 */
import type { Layer } from '../../chain/layer.ts';
import { type RunReader, runReader } from './layer-runs.ts';
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
  const cursors = [newCursor((await layer(0))!)];
  const columns = columnsBuilder(cursors);
  for (;;) {
    const stop = columns.fill();
    if (stop === 'end') break;
    if (stop === 'full') yield columns.take();
    else if (stop < cursors.length) await load(cursors[stop]!, columns.offset());
    else {
      const below = await layer(stop);
      if (below === undefined) columns.setBottom(stop - 1);
      else cursors.push(newCursor(below));
    }
  }
  const rest = columns.take();
  if (rest.count > 0) yield rest;
}

/** @param cursors one for each image that is open so far, the top first */
function columnsBuilder(cursors: readonly Cursor[]) {
  const starts = new Float64Array(BATCH);
  const lengths = new Float64Array(BATCH);
  const depths = new Uint16Array(BATCH);
  const kinds = new Uint8Array(BATCH);
  const hostOffsets = new Float64Array(BATCH);
  const diskEnd = cursors[0]!.layer.virtualSizeBytes;
  let count = 0;
  let next = 0;
  let bottom = Number.POSITIVE_INFINITY;

  return {
    /** The offset from which `fill` continues. */
    offset: () => next,
    setBottom(depth: number): void {
      bottom = depth;
    },
    /**
     * Adds extents without a call for each.
     *
     * @returns the depth of an image that must be opened, or read from `offset`, before the next extent is
     * known
     */
    fill(): 'full' | 'end' | number {
      let offset = next;
      while (offset < diskEnd) {
        let depth = 0;
        let end = diskEnd;
        let kind: RunKind = RUN.unallocated;
        let host = NO_OFFSET;
        for (;;) {
          const cursor = cursors[depth];
          if (cursor === undefined || offset >= cursor.runs.end) {
            next = offset;
            return depth;
          }
          const { runs } = cursor;
          let { position } = cursor;
          while (runs.ends[position]! <= offset) position++;
          cursor.position = position;
          end = Math.min(end, runs.ends[position]!);
          kind = runs.kinds[position] as RunKind;
          if (kind !== RUN.unallocated) {
            const start = position === 0 ? runs.start : runs.ends[position - 1]!;
            host = runs.hostOffsets[position]!;
            if (host !== NO_OFFSET) host += offset - start;
            break;
          }
          if (depth === bottom) break;
          const below = cursors[depth + 1];
          if (below !== undefined) {
            // A shorter backing image has no data past its end. The image above it reads as zeros there.
            if (offset >= below.layer.virtualSizeBytes) break;
            end = Math.min(end, below.layer.virtualSizeBytes);
          }
          depth++;
        }
        const last = count - 1;
        const lastHost = hostOffsets[last]!;
        const nextHost = lastHost === NO_OFFSET ? NO_OFFSET : lastHost + lengths[last]!;
        if (last >= 0 && kinds[last] === kind && depths[last] === depth && nextHost === host) {
          lengths[last]! += end - offset;
        } else {
          if (count === BATCH) {
            next = offset;
            return 'full';
          }
          starts[count] = offset;
          lengths[count] = end - offset;
          depths[count] = depth;
          kinds[count] = kind;
          hostOffsets[count] = host;
          count++;
        }
        offset = end;
      }
      next = offset;
      return 'end';
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
  reader: RunReader | undefined;
  runs: Runs;
  position: number;
}

const NO_RUNS: Runs = {
  start: 0,
  end: 0,
  count: 0,
  ends: new Float64Array(),
  kinds: new Uint8Array(),
  hostOffsets: new Float64Array(),
};

function newCursor(layer: Layer): Cursor {
  return { layer, reader: undefined, runs: NO_RUNS, position: 0 };
}

async function load(cursor: Cursor, offset: number): Promise<void> {
  cursor.reader ??= await runReader(cursor.layer);
  cursor.runs = await cursor.reader.read(offset);
  cursor.position = 0;
}
