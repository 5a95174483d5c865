/**
 * Decides how the bitmap of a checkpoint is repaired in one image of a chain.
 *
 * An image above the origin has only content written after the checkpoint, so its bitmap must mark all its
 * allocated ranges. The content of the origin is partly older. The origin may also have lost clusters since:
 * a commit emptied it, it was shrunk, or it went back to an internal snapshot. So its bitmap is rebuilt only
 * with consent.
 */
import type { Consent } from '../../remedy.ts';
import type { BitmapState } from '../chain/bitmap-state.ts';

export interface RepairDecision {
  readonly action: 'keep' | 'add' | 'top-up' | 'rebuild' | 'enable';
  readonly consent: Consent | undefined;
}

/**
 * A bitmap that is not kept gets its readable old marks, and marks for the allocated ranges of its image.
 *
 * @param coversHeld whether the bitmap marks all allocated ranges of the image
 */
export function decideRepair(state: BitmapState, isOrigin: boolean, coversHeld: boolean): RepairDecision {
  switch (state) {
    case 'missing':
      return { action: 'add', consent: isOrigin ? 'rebuild-origin' : undefined };
    case 'good':
    case 'recording':
    case 'unknown':
      return { action: isOrigin || coversHeld ? 'keep' : 'top-up', consent: undefined };
    case 'in-use':
    case 'stale':
    case 'unreadable':
      return { action: 'rebuild', consent: isOrigin ? 'rebuild-origin' : undefined };
    case 'disabled':
      return { action: 'enable', consent: 'enable-disabled' };
  }
}
