/**
 * Runs of a disk within one image, in ascending order. Each has one kind. They are kept in columns, since
 * there may be millions.
 */

/**
 * The kind of a run in one image alone. `hole` is data that the file does not store, so it reads as zeros.
 */
export const RUN = { unallocated: 0, data: 1, zero: 2, compressed: 3, hole: 4 } as const;
export type RunKind = (typeof RUN)[keyof typeof RUN];

/** Stands for "no host offset". */
export const NO_OFFSET = -1;

export interface Runs {
  /** Start of the first run. */
  readonly start: number;
  /** End of the last run. */
  readonly end: number;
  readonly count: number;
  /** End of each run, in bytes of the disk. */
  readonly ends: Float64Array;
  readonly kinds: Uint8Array;
  /** Start of each run in the file that holds it, or NO_OFFSET. */
  readonly hostOffsets: Float64Array;
}

export interface RunsBuilder {
  /** Starts a new set of runs. Earlier results of `finish` are no longer valid. */
  reset(start: number): void;
  /** Adds a run from the last end to `end`. Joins it to the previous run if kind and host offset continue. */
  add(end: number, kind: RunKind, hostOffset: number): void;
  readonly end: number;
  readonly count: number;
  finish(): Runs;
}

const LAST_END = 0;
/** The host offset that would continue the last run. */
const NEXT_HOST = 1;

export function runsBuilder(): RunsBuilder {
  let start = 0;
  let ends = new Float64Array(1024);
  let kinds = new Uint8Array(1024);
  let hostOffsets = new Float64Array(1024);
  let count = 0;
  // Kept in an array: a large number in a closure variable is a new object on each write.
  const state = Float64Array.of(0, NO_OFFSET);

  function grow(): void {
    const moved = [
      new Float64Array(count * 2),
      new Uint8Array(count * 2),
      new Float64Array(count * 2),
    ] as const;
    moved[0].set(ends);
    moved[1].set(kinds);
    moved[2].set(hostOffsets);
    [ends, kinds, hostOffsets] = moved;
  }

  return {
    reset(from) {
      start = from;
      state[LAST_END] = from;
      state[NEXT_HOST] = NO_OFFSET;
      count = 0;
    },
    add(end, kind, hostOffset) {
      const joins = count > 0 && kinds[count - 1] === kind && state[NEXT_HOST] === hostOffset;
      if (!joins) {
        if (count === ends.length) grow();
        kinds[count] = kind;
        hostOffsets[count] = hostOffset;
        count++;
      }
      ends[count - 1] = end;
      state[NEXT_HOST] = hostOffset === NO_OFFSET ? NO_OFFSET : hostOffset + (end - state[LAST_END]!);
      state[LAST_END] = end;
    },
    get end() {
      return state[LAST_END]!;
    },
    get count() {
      return count;
    },
    finish: () => ({ start, end: state[LAST_END]!, count, ends, kinds, hostOffsets }),
  };
}
