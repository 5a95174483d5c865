/**
 * Whether a checkpoint is fit for an incremental backup: libvirt's rule, and what libvirt does not look at.
 */
import { formatSize } from '../../text/size.ts';
import { type BitmapState, originIndex } from '../chain/bitmap-state.ts';

/** What one image of a chain has of a checkpoint. */
export interface Holding {
  readonly image: string;
  readonly state: BitmapState;
  readonly virtualSizeBytes: number;
  /** Bytes of granules that the image holds a part of and that its bitmap does not mark. */
  readonly missingBytes: number;
}

type CheckpointProblemCode =
  /** No image of the chain has the bitmap. */
  | 'no-bitmap'
  /** An image above all that have the bitmap lacks it. */
  | 'bitmap-missing'
  /** The image in which the checkpoint was made lacks it. libvirt accepts it, and a backup would lack what it recorded. */
  | 'bitmap-lost'
  /** An image between two that have the bitmap lacks it. */
  | 'bitmap-gap'
  | 'bitmap-disabled'
  | 'bitmap-in-use'
  | 'bitmap-stale'
  | 'bitmap-unreadable'
  /** An image that has the bitmap has a disk of another size than the top. */
  | 'size-mismatch'
  /** The bitmap does not mark all that its image holds. libvirt accepts it, and a backup would lack that. */
  | 'bitmap-incomplete';

export interface CheckpointProblem {
  readonly code: CheckpointProblemCode;
  /** The image that has it; null for the chain as a whole. */
  readonly image: string | null;
  readonly message: string;
}

export interface Verdict {
  /**
   * Whether libvirt takes the checkpoint as valid. It looks at names and flags only: with a problem left an incremental
   * backup from it fails, or silently lacks changes.
   */
  readonly accepted: boolean;
  readonly problems: readonly CheckpointProblem[];
}

/**
 * Judges one checkpoint.
 *
 * libvirt (qemuBlockBitmapChainIsValid): the top must have the bitmap, those that have it must follow each other from the
 * top, and each must be enabled and consistent.
 *
 * @param chain what each image has under the checkpoint's name, top first
 * @param madeIn index of the image that was active when it was made, where that is known
 */
export function judge(name: string, chain: readonly Holding[], madeIn?: number | undefined): Verdict {
  const lowest = originIndex(chain.map(({ state }) => state));
  if (lowest === undefined) {
    const message = `no image of the chain has a bitmap "${name}"`;
    return { accepted: false, problems: [{ code: 'no-bitmap', image: null, message }] };
  }
  const highest = chain.findIndex(({ state }) => state !== 'missing');
  const problems: CheckpointProblem[] = [];
  for (const [index, { image, state }] of chain.slice(0, lowest + 1).entries()) {
    if (state === 'good' || state === 'recording') continue;
    const code = state === 'missing' && index > highest ? 'bitmap-gap' : CODES[state];
    problems.push({ code, image, message: `${image}: ${MESSAGES[state](name)}` });
  }
  const accepted = problems.length === 0;
  return { accepted, problems: [...problems, ...unseen(name, chain, lowest, madeIn ?? lowest)] };
}

const CODES = {
  missing: 'bitmap-missing',
  disabled: 'bitmap-disabled',
  'in-use': 'bitmap-in-use',
  stale: 'bitmap-stale',
  unreadable: 'bitmap-unreadable',
} as const;

const MESSAGES: Readonly<Record<keyof typeof CODES, (name: string) => string>> = {
  missing: (name) => `has no bitmap "${name}"`,
  disabled: (name) => `bitmap "${name}" is disabled: it has not recorded what was written meanwhile`,
  'in-use': (name) =>
    `bitmap "${name}" is marked in-use: it was not stored after its last use, so its content means nothing`,
  stale: (name) =>
    `bitmap "${name}" is outdated: software that knows no bitmaps has changed the image (autoclear bit 0 is clear)`,
  unreadable: (name) => `bitmap "${name}" cannot be read: its directory entry or its table is broken`,
};

/** What libvirt does not look at, and a backup falls over. */
function unseen(
  name: string,
  chain: readonly Holding[],
  lowest: number,
  madeIn: number,
): CheckpointProblem[] {
  const origin = Math.max(lowest, madeIn);
  const problems: CheckpointProblem[] = [];
  const { image: top, virtualSizeBytes: topBytes } = chain[0]!;
  for (const [index, { image, state, virtualSizeBytes, missingBytes }] of chain.entries()) {
    if (index > origin) break;
    if (virtualSizeBytes !== topBytes) {
      problems.push({
        code: 'size-mismatch',
        image,
        message: `${image}: its disk has ${virtualSizeBytes} bytes, that of ${top} ${topBytes}: an incremental backup from "${name}" fails`,
      });
    }
    if (index > lowest) {
      problems.push({
        code: 'bitmap-lost',
        image,
        message: `${image}: has no bitmap "${name}", though the checkpoint was made when ${index === origin ? 'it' : 'an image below it'} was the active image: an incremental backup silently lacks what was written to it`,
      });
    }
    // What the origin holds may be older than the checkpoint.
    if (state === 'good' && index < origin && missingBytes > 0) {
      problems.push({
        code: 'bitmap-incomplete',
        image,
        message: `${image}: bitmap "${name}" does not mark ${formatSize(missingBytes)} that the image holds: an incremental backup silently lacks them`,
      });
    }
  }
  return problems;
}
