/** The state of a stored bitmap, and the lowest image that has it. */
import { expect, test } from 'vitest';
import { lowestHolderIndex, stateOfEntry } from '../../../../src/checkpoint/chain/bitmap-state.ts';
import { STATES } from '../holdings.ts';

test('the lowest holder is the lowest image that has the bitmap in any state', () => {
  const lowest = (states: string) => lowestHolderIndex([...states].map((letter) => STATES[letter]!));
  expect(['g', '.g.', 'g.d.', 's', '..', ''].map(lowest)).toEqual([0, 1, 2, 0, undefined, undefined]);
});

test('in-use outweighs enabled', () => {
  const states = [
    [true, false],
    [false, false],
    [true, true],
    [false, true],
  ].map(([auto, inUse]) => stateOfEntry({ auto, inUse } as Parameters<typeof stateOfEntry>[0]));
  expect(states).toEqual(['good', 'disabled', 'in-use', 'in-use']);
});
