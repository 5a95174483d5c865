/** What the images of a chain hold of one checkpoint, in letters. */
import type { BitmapState } from '../../../src/checkpoint/chain/bitmap-state.ts';
import type { OriginEvidence } from '../../../src/checkpoint/known/origin-evidence.ts';
import type { Holding } from '../../../src/checkpoint/verdict/verdict.ts';

export const MIB = 1 << 20;

/** By letter, top first: `.` missing, `g` good, `d` disabled, `u` in-use, `s` stale, `x` unreadable, `r` recording. */
export const STATES: Readonly<Record<string, BitmapState>> = {
  '.': 'missing',
  g: 'good',
  d: 'disabled',
  u: 'in-use',
  s: 'stale',
  x: 'unreadable',
  r: 'recording',
};

export function chain(states: string, changes: Readonly<Record<number, Partial<Holding>>> = {}): Holding[] {
  return [...states].map((letter, index) => ({
    image: `${index}.qcow2`,
    state: STATES[letter]!,
    virtualSizeBytes: MIB,
    missingBytes: 0,
    ...changes[index],
  }));
}

/** The XML shows the old active image. Without an index nothing shows it. */
export function madeIn(index: number | undefined, isCertain = true): OriginEvidence {
  return index === undefined ? { kind: 'unknown' } : { kind: 'in-chain', index, isCertain };
}
