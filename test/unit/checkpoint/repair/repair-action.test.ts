/** Which action a repair takes for a bitmap, and which consent it needs. */
import { describe, expect, test } from 'vitest';
import type { BitmapState } from '../../../../src/checkpoint/chain/bitmap-state.ts';
import { decideRepair } from '../../../../src/checkpoint/repair/repair-action.ts';

describe('the repair of a bitmap', () => {
  test.each<[BitmapState, boolean, boolean, string, string | undefined]>([
    ['missing', false, false, 'add', undefined],
    ['missing', true, false, 'add', 'rebuild-origin'],
    ['good', false, true, 'keep', undefined],
    ['good', false, false, 'top-up', undefined],
    ['good', true, false, 'keep', undefined],
    ['in-use', false, false, 'rebuild', undefined],
    ['in-use', true, true, 'rebuild', 'rebuild-origin'],
    ['stale', false, true, 'rebuild', undefined],
    ['stale', true, true, 'rebuild', 'rebuild-origin'],
    ['disabled', false, true, 'enable', 'enable-disabled'],
    ['disabled', true, true, 'enable', 'enable-disabled'],
  ])(
    'that is %s (origin: %s, covers: %s) is to %s it, with consent to %s',
    (state, isOrigin, covers, action, consent) => {
      expect(decideRepair(state, isOrigin, covers)).toEqual({ action, consent });
    },
  );
});
