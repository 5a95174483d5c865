/**
 * How the bitmap of a checkpoint becomes right again in one image of a chain.
 *
 * An image above the origin holds only what was written after the checkpoint: all that it holds is what its bitmap must
 * mark. What the origin holds is older in part, and it may have lost clusters since (emptied by a commit, shrunk, back at
 * an internal snapshot). So its bitmap is rebuilt only with consent.
 */
import type { Consent } from '../../remedy.ts';
import type { BitmapState } from '../chain/bitmap-state.ts';

export interface Remedy {
  readonly action: 'keep' | 'add' | 'top-up' | 'rebuild' | 'enable';
  readonly consent: Consent | undefined;
}

/**
 * A bitmap that is not kept gets its old marks, as far as they can be read, and what its image holds.
 *
 * @param coversHeld whether the bitmap marks all that the image holds
 */
export function remedyFor(state: BitmapState, isOrigin: boolean, coversHeld: boolean): Remedy {
  switch (state) {
    case 'missing':
      return { action: 'add', consent: isOrigin ? 'rebuild-origin' : undefined };
    case 'good':
    case 'recording':
      return { action: isOrigin || coversHeld ? 'keep' : 'top-up', consent: undefined };
    case 'in-use':
    case 'stale':
    case 'unreadable':
      return { action: 'rebuild', consent: isOrigin ? 'rebuild-origin' : undefined };
    case 'disabled':
      return { action: 'enable', consent: 'enable-disabled' };
  }
}
