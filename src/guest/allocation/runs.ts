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

/** Adjacent units of one size, such as clusters. */
export interface Units {
  readonly kinds: Uint8Array;
  /** Start of each unit in the file that holds it, or NO_OFFSET. */
  readonly hostOffsets: Float64Array;
}

export interface RunsBuilder {
  /** Starts a new set of runs. Earlier results of `finish` are no longer valid. */
  reset(start: number): void;
  /** Adds a run from the last end to `end`. Joins it to the previous run if kind and host offset continue. */
  add(end: number, kind: RunKind, hostOffset: number): void;
  /** Like `add` for each of the first `unitCount` units, without a call for each. */
  addUnits(units: Units, unitCount: number, unitBytes: number): void;
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

  function makeRoom(more: number): void {
    if (count + more <= ends.length) return;
    const room = Math.max(count + more, ends.length * 2);
    const moved = [new Float64Array(room), new Uint8Array(room), new Float64Array(room)] as const;
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
        makeRoom(1);
        kinds[count] = kind;
        hostOffsets[count] = hostOffset;
        count++;
      }
      ends[count - 1] = end;
      state[NEXT_HOST] = hostOffset === NO_OFFSET ? NO_OFFSET : hostOffset + (end - state[LAST_END]!);
      state[LAST_END] = end;
    },
    addUnits({ kinds: unitKinds, hostOffsets: unitOffsets }, unitCount, unitBytes) {
      makeRoom(unitCount);
      let run = count - 1;
      let end = state[LAST_END]!;
      let next = state[NEXT_HOST]!;
      for (let unit = 0; unit < unitCount; unit++) {
        const kind = unitKinds[unit]!;
        const host = unitOffsets[unit]!;
        if (run < 0 || kinds[run] !== kind || next !== host) {
          run++;
          kinds[run] = kind;
          hostOffsets[run] = host;
        }
        end += unitBytes;
        ends[run] = end;
        next = host === NO_OFFSET ? NO_OFFSET : host + unitBytes;
      }
      count = run + 1;
      state[LAST_END] = end;
      state[NEXT_HOST] = next;
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
