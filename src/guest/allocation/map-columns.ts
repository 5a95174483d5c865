/**
 * Extents of a map, in columns. A disk may have millions of them, and an object for each would cost more than
 * the read.
 */
import { NO_OFFSET, RUN, type RunKind } from './runs.ts';

/** Valid until the next batch. Sizes and offsets are in bytes. */
export interface MapColumns {
  readonly count: number;
  readonly starts: Float64Array;
  readonly lengths: Float64Array;
  /** Depth of the providing image: the number of images above it. 0 is the top. */
  readonly depths: Uint16Array;
  /** The RunKind in that image. */
  readonly kinds: Uint8Array;
  /** Start in the image's file or in its external data file; NO_OFFSET if it has no meaning. */
  readonly hostOffsets: Float64Array;
}

/** One line of `qemu-img map --output=json`. Sizes and offsets are in bytes. */
export interface MapExtent {
  readonly start: number;
  readonly length: number;
  /** Depth of the providing image: the number of images above it. 0 is the top. */
  readonly depth: number;
  /** Whether that image itself holds the extent. false if no image holds it and it reads as zeros. */
  readonly present: boolean;
  /** Known to read as zeros. */
  readonly zero: boolean;
  readonly data: boolean;
  readonly compressed: boolean;
  /** Start in the image's file or in its external data file; absent if it has no meaning. */
  readonly offset?: number;
}

export type MapFlags = Pick<MapExtent, 'present' | 'zero' | 'data' | 'compressed'>;

const UNALLOCATED: MapFlags = { present: false, zero: true, data: false, compressed: false };
const FLAGS: Readonly<Record<RunKind, MapFlags>> = {
  [RUN.unallocated]: UNALLOCATED,
  [RUN.data]: { present: true, zero: false, data: true, compressed: false },
  [RUN.zero]: { present: true, zero: true, data: false, compressed: false },
  [RUN.compressed]: { present: true, zero: false, data: true, compressed: true },
  [RUN.hole]: { present: true, zero: true, data: true, compressed: false },
};
const UNKNOWN: MapFlags = { ...UNALLOCATED, zero: false };

/** @param gapsAreUnknown backing images were not read, so the content of gaps is unknown */
export function flagsOf(kind: RunKind, gapsAreUnknown: boolean): MapFlags {
  return kind === RUN.unallocated && gapsAreUnknown ? UNKNOWN : FLAGS[kind];
}

export function extentsOf(columns: MapColumns, gapsAreUnknown: boolean): MapExtent[] {
  const { count, starts, lengths, depths, kinds, hostOffsets } = columns;
  return Array.from({ length: count }, (_, index) => ({
    start: starts[index]!,
    length: lengths[index]!,
    depth: depths[index]!,
    ...flagsOf(kinds[index] as RunKind, gapsAreUnknown),
    ...(hostOffsets[index] === NO_OFFSET ? {} : { offset: hostOffsets[index]! }),
  }));
}
