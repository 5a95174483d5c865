/**
 * Finds the image of today's chain in which a checkpoint began, from the chain that its XML records.
 */
import type { ChainImage } from '../chain/chain-images.ts';
import type { CheckpointDisk } from '../checkpoint.ts';
import { type IdentityOf, isMissing } from './file-identities.ts';

export type OriginEvidence =
  /** No evidence. */
  | { readonly kind: 'unknown' }
  /** The image that was active is in the chain. It has no more images below it than at that time. */
  | {
      readonly kind: 'in-chain';
      readonly index: number;
      /**
       * The XML records the chain of that time, or the image has no backing image. So no other image can have
       * taken that path.
       */
      readonly isCertain: boolean;
    }
  /**
   * The chain has more images below that path than at that time. Another image has taken the path. The image
   * that was active is now one of `first` to `last`.
   */
  | {
      readonly kind: 'lower';
      readonly path: string;
      readonly imagesThen: number;
      readonly first: number;
      readonly last: number;
    }
  /**
   * The image that was active is not in the chain. It was committed, or the guest went back to an image below
   * it. `fork` is the highest image of today's chain that was below it.
   */
  | {
      readonly kind: 'left';
      readonly path: string;
      readonly isThere: boolean;
      readonly fork: number | undefined;
    };

/** @param images today's chain, top first */
export async function originEvidence(
  { source, backing }: CheckpointDisk,
  images: readonly ChainImage[],
  identityOf: IdentityOf,
): Promise<OriginEvidence> {
  if (source === undefined) return { kind: 'unknown' };
  const indexOf = async (path: string | undefined) => {
    if (path === undefined) return -1;
    const identity = await identityOf(path);
    return images.findIndex(({ layer }) => layer.storage.identity === identity);
  };
  const index = await indexOf(source);
  const lowerThen = await Promise.all((backing ?? []).map(indexOf));
  const known = lowerThen.flatMap((today, below) => (today < 0 ? [] : [{ today, place: below + 1 }]));
  const isThere = !isMissing(await identityOf(source));
  if (index < 0 && known.length > 0) {
    return { kind: 'left', path: source, isThere, fork: Math.min(...known.map(({ today }) => today)) };
  }
  // Images may have been committed or pulled since, so that fewer lie below.
  const first =
    backing === undefined
      ? 0
      : Math.max(images.length - 1 - backing.length, ...known.map(({ today, place }) => today - place), 0);
  const last = Math.max(first, Math.min(images.length - 1, ...known.map(({ today }) => today - 1)));
  if (index >= first) {
    return { kind: 'in-chain', index, isCertain: backing !== undefined || index === images.length - 1 };
  }
  if (index < 0 && isThere) return { kind: 'left', path: source, isThere, fork: undefined };
  if (first === 0) return { kind: 'unknown' };
  return { kind: 'lower', path: source, imagesThen: backing!.length + 1, first, last };
}

/**
 * The lowest image in which the checkpoint must have begun.
 *
 * @param lowestHolder index of the lowest image that has its bitmap
 * @returns undefined if neither the bitmaps nor the XML show it, or if they contradict each other
 */
export function originFrom(evidence: OriginEvidence, lowestHolder: number | undefined): number | undefined {
  switch (evidence.kind) {
    case 'unknown':
      return lowestHolder;
    case 'left':
      // libvirt merges bitmaps into the target of a commit. No bitmap above it has the writes to the image
      // that left.
      return lowestHolder !== undefined && lowestHolder >= (evidence.fork ?? 0) ? lowestHolder : undefined;
    case 'in-chain':
      return Math.max(lowestHolder ?? evidence.index, evidence.index);
    case 'lower':
      return lowestHolder !== undefined && lowestHolder >= evidence.first ? lowestHolder : undefined;
  }
}

/**
 * Images above this one were added after the checkpoint: their bitmaps must mark all their allocated ranges.
 */
export function firstPossible(evidence: OriginEvidence): number {
  if (evidence.kind === 'in-chain') return evidence.index;
  return evidence.kind === 'lower' ? evidence.first : 0;
}
