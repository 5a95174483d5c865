/**
 * Every state in which a power cut can leave an image while a plan is carried out.
 *
 * What was written before the last flush is there. Of what was written since, any part may be there and any part
 * missing: a device keeps single sectors whole, and promises nothing else.
 */
import type { Plan, Step } from '../../../src/plan/plan.ts';
import type { Random } from '../../support/random.ts';

const sectorBytes = 512;

/** Up to here every subset of the pieces between two flushes is tried. */
const mostPiecesForAllSubsets = 10;

/** A part of a write that a device stores completely or not at all. */
interface Piece {
  offset: number;
  bytes: Uint8Array;
  reason: string;
}

export interface PowerCutState {
  bytes: Uint8Array;
  /** How many of the plan's steps are certainly on disk: the last of them is a flush, or there is none. */
  doneSteps: number;
  /** The pieces since then of which `stored` are on disk too. */
  pieces: readonly Piece[];
  stored: readonly Piece[];
}

interface FlushGroup {
  doneSteps: number;
  steps: readonly Extract<Step, { kind: 'write' }>[];
}

/** Yields no state twice in a row of writes between two flushes; the last state is the plan carried out. */
export function* powerCutStates(
  original: Uint8Array,
  { steps }: Pick<Plan, 'steps'>,
  random: Random,
  randomSubsets: number,
): Generator<PowerCutState> {
  let base = original;
  const groups = flushGroups(steps);
  for (const [index, { doneSteps, steps: writes }] of groups.entries()) {
    const pieces = effectivePieces(base, writes.flatMap(sectorPieces));
    const endsInFlush = index < groups.length - 1;
    for (const stored of subsets(pieces, random, randomSubsets)) {
      // With all of them stored it is the next group's state with none.
      if (endsInFlush && stored.length === pieces.length && pieces.length > 0) continue;
      yield { bytes: withPieces(base, stored), doneSteps, pieces, stored };
    }
    base = withPieces(base, writes.map(asPiece));
  }
}

/** The image once all is done. */
export function carriedOut(original: Uint8Array, { steps }: Pick<Plan, 'steps'>): Uint8Array {
  return withPieces(
    original,
    flushGroups(steps).flatMap(({ steps: writes }) => writes.map(asPiece)),
  );
}

function flushGroups(steps: readonly Step[]): FlushGroup[] {
  const groups: { doneSteps: number; steps: Extract<Step, { kind: 'write' }>[] }[] = [
    { doneSteps: 0, steps: [] },
  ];
  for (const [index, step] of steps.entries()) {
    if (step.kind === 'write') groups.at(-1)!.steps.push(step);
    else groups.push({ doneSteps: index + 1, steps: [] });
  }
  return groups;
}

function asPiece({ offset, bytes, reason }: Extract<Step, { kind: 'write' }>): Piece {
  return { offset, bytes, reason };
}

/** Cuts a write at every multiple of the sector size. */
function sectorPieces({ offset, bytes, reason }: Extract<Step, { kind: 'write' }>): Piece[] {
  const pieces: Piece[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = Math.min(start + sectorBytes - ((offset + start) % sectorBytes), bytes.length);
    pieces.push({ offset: offset + start, bytes: bytes.subarray(start, end), reason });
    start = end;
  }
  return pieces;
}

/**
 * Leaves out what changes nothing. Zeros behind the end of the file only make it longer, so that a run of them
 * counts as one piece.
 */
function effectivePieces(base: Uint8Array, pieces: readonly Piece[]): Piece[] {
  const writers = new Map<number, number>();
  const sectorOf = ({ offset }: Piece) => Math.floor(offset / sectorBytes);
  for (const piece of pieces) writers.set(sectorOf(piece), (writers.get(sectorOf(piece)) ?? 0) + 1);

  const effective: Piece[] = [];
  let openRun: { offset: number; end: number; reason: string } | undefined;
  const closeRun = () => {
    if (openRun === undefined) return;
    const { offset, end, reason } = openRun;
    effective.push({ offset, bytes: new Uint8Array(end - offset), reason });
    openRun = undefined;
  };
  for (const piece of pieces) {
    const { offset, bytes, reason } = piece;
    const end = offset + bytes.length;
    const isAlone = writers.get(sectorOf(piece)) === 1;
    if (isAlone && end <= base.length && Buffer.compare(bytes, base.subarray(offset, end)) === 0) continue;
    if (isAlone && offset >= base.length && bytes.every((byte) => byte === 0)) {
      if (openRun?.end === offset) openRun.end = end;
      else {
        closeRun();
        openRun = { offset, end, reason };
      }
      continue;
    }
    closeRun();
    effective.push(piece);
  }
  closeRun();
  return effective;
}

function* subsets(pieces: readonly Piece[], random: Random, randomCount: number): Generator<Piece[]> {
  if (pieces.length <= mostPiecesForAllSubsets) {
    for (let mask = 0; mask < 2 ** pieces.length; mask++) {
      yield pieces.filter((_, index) => ((mask >> index) & 1) === 1);
    }
    return;
  }
  const seen = new Set<string>();
  for (const chosen of usefulSubsets(pieces.length, random, randomCount)) {
    const key = chosen.map(Number).join('');
    if (seen.has(key)) continue;
    seen.add(key);
    yield pieces.filter((_, index) => chosen[index]);
  }
}

/** None, all, each one alone, each one missing, every beginning, and some at random. */
function* usefulSubsets(count: number, random: Random, randomCount: number): Generator<boolean[]> {
  const where = (choose: (index: number) => boolean) => Array.from({ length: count }, (_, i) => choose(i));
  yield where(() => false);
  for (let each = 0; each < count; each++) {
    yield where((index) => index === each);
    yield where((index) => index !== each);
    yield where((index) => index < each);
  }
  for (let round = 0; round < randomCount; round++) {
    const share = random.pick([0.1, 0.5, 0.9]);
    yield where(() => random.chance(share));
  }
  yield where(() => true);
}

function withPieces(base: Uint8Array, pieces: readonly Piece[]): Uint8Array {
  const end = pieces.reduce((most, { offset, bytes }) => Math.max(most, offset + bytes.length), base.length);
  const image = new Uint8Array(end);
  image.set(base);
  for (const { offset, bytes } of pieces) image.set(bytes, offset);
  return image;
}
