/**
 * Judges whether a checkpoint is fit for an incremental backup. Applies libvirt's rule, and finds problems
 * that libvirt does not detect.
 */
import { counted } from '../../text/counted.ts';
import { formatSize } from '../../text/size.ts';
import { type BitmapState, isInMemory, lowestHolderIndex } from '../chain/bitmap-state.ts';
import { firstPossible, type OriginEvidence } from '../known/origin-evidence.ts';

/** The bitmap of a checkpoint in one image of a chain. */
export interface Holding {
  readonly image: string;
  readonly state: BitmapState;
  readonly virtualSizeBytes: number;
  /** Size of the granules that contain allocated ranges but are not marked in the bitmap. */
  readonly missingBytes: number;
}

type CheckpointProblemCode =
  /** No image of the chain has the bitmap. */
  | 'no-bitmap'
  /** An image above all images with the bitmap lacks it. */
  | 'bitmap-missing'
  /**
   * The image in which the checkpoint was made lacks the bitmap. libvirt accepts the checkpoint, but a backup
   * would lack the recorded changes.
   */
  | 'bitmap-lost'
  /**
   * The image in which the checkpoint was made is not in the chain. No image has the bitmap with the writes
   * to it.
   */
  | 'origin-left'
  /**
   * Another image has taken the path of the image in which the checkpoint was made. The original image is
   * lower now and lacks the bitmap.
   */
  | 'origin-replaced'
  /** An image between two images with the bitmap lacks it. */
  | 'bitmap-gap'
  | 'bitmap-disabled'
  | 'bitmap-in-use'
  | 'bitmap-stale'
  | 'bitmap-unreadable'
  /** The disk of an image with the bitmap has another size than the disk of the top image. */
  | 'size-mismatch'
  /**
   * The bitmap does not mark all allocated ranges of its image. libvirt accepts it, but a backup would lack
   * the unmarked ranges.
   */
  | 'bitmap-incomplete';

export interface CheckpointProblem {
  readonly code: CheckpointProblemCode;
  /** The image that has the problem; null for the whole chain. */
  readonly image: string | null;
  readonly message: string;
}

export interface Verdict {
  /**
   * Whether libvirt accepts the checkpoint as valid. It checks only names and flags. If a problem remains, an
   * incremental backup from the checkpoint fails or silently lacks changes.
   */
  readonly accepted: boolean;
  readonly problems: readonly CheckpointProblem[];
}

/**
 * Judges one checkpoint.
 *
 * libvirt's rule (qemuBlockBitmapChainIsValid): the top image must have the bitmap. The images with the
 * bitmap must be contiguous from the top. Each bitmap must be enabled and consistent.
 *
 * @param chain the state of the checkpoint's bitmap in each image, top first
 * @param origin evidence about the image that was active when the checkpoint was made
 */
export function judge(
  name: string,
  chain: readonly Holding[],
  origin: OriginEvidence = { kind: 'unknown' },
): Verdict {
  const lowest = lowestHolderIndex(chain.map(({ state }) => state));
  if (lowest === undefined) {
    const message = noBitmap(name, chain, origin);
    return { accepted: false, problems: [{ code: 'no-bitmap', image: null, message }] };
  }
  const highest = chain.findIndex(({ state }) => state !== 'missing');
  const problems: CheckpointProblem[] = [];
  for (const [index, { image, state }] of chain.slice(0, lowest + 1).entries()) {
    if (state === 'good' || isInMemory(state)) continue;
    const code = state === 'missing' && index > highest ? 'bitmap-gap' : CODES[state];
    problems.push({ code, image, message: `${image}: ${MESSAGES[state](name)}` });
  }
  const accepted = problems.length === 0;
  return { accepted, problems: [...problems, ...unseen(name, chain, lowest, origin)] };
}

/** Why the bitmap is missing, or in which image it was, as far as the XML shows it. */
export function noBitmap(
  name: string,
  chain: readonly Pick<Holding, 'image'>[],
  origin: OriginEvidence,
): string {
  const message = `no image of the chain has a bitmap "${name}"`;
  const why = origin.kind === 'in-chain' ? recordedOrigin(chain, origin) : contradiction(name, chain, origin);
  return why === undefined ? message : `${message}; ${why}`;
}

function recordedOrigin(
  chain: readonly Pick<Holding, 'image'>[],
  { index, isCertain }: Extract<OriginEvidence, { kind: 'in-chain' }>,
): string {
  const began = `by its XML it began in ${chain[index]!.image}`;
  return isCertain ? began : `${began}, unless another image has taken that path since`;
}

/** The difference between today's chain and the XML. */
export function contradiction(
  name: string,
  chain: readonly Pick<Holding, 'image'>[],
  origin: OriginEvidence,
): string | undefined {
  switch (origin.kind) {
    case 'unknown':
    case 'in-chain':
      return undefined;
    case 'left':
      return `${origin.path}, which was the active image when the checkpoint was made, is not in the chain: it was committed or moved, or the guest went back to what lay below it`;
    case 'lower':
      return replaced(name, chain, origin);
  }
}

function replaced(
  name: string,
  chain: readonly Pick<Holding, 'image'>[],
  { path, imagesThen, first, last }: Extract<OriginEvidence, { kind: 'lower' }>,
): string {
  const images = chain.slice(first, last + 1).map(({ image }) => image);
  const below = imagesThen === 1 ? 'no backing image' : `a chain of ${imagesThen - 1} below it`;
  return `when the checkpoint was made, ${path} was the active image and had ${below}; today the chain has ${counted(chain.length, 'image')}, so another image has taken that path and "${name}" began in ${images.join(' or ')}`;
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
  disabled: (name) => `bitmap "${name}" is disabled: it did not record the writes since then`,
  'in-use': (name) =>
    `bitmap "${name}" is marked in-use: it was not stored after its last use, so its content is not valid`,
  stale: (name) =>
    `bitmap "${name}" is outdated: software without support for bitmaps changed the image (autoclear bit 0 is clear)`,
  unreadable: (name) => `bitmap "${name}" cannot be read: its directory entry or its table is broken`,
};

/** Problems that libvirt does not detect and that break a backup. */
function unseen(
  name: string,
  chain: readonly Holding[],
  lowest: number,
  evidence: OriginEvidence,
): CheckpointProblem[] {
  const origin = Math.max(lowest, firstPossible(evidence));
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
    if (index > lowest && evidence.kind === 'in-chain') {
      problems.push({
        code: 'bitmap-lost',
        image,
        message: `${image}: has no bitmap "${name}", though the checkpoint was made when ${index === origin ? 'it' : 'an image below it'} was the active image: an incremental backup silently lacks what was written to it`,
      });
    }
    // Content of the origin may be older than the checkpoint.
    if (state === 'good' && index < origin && missingBytes > 0) {
      problems.push({
        code: 'bitmap-incomplete',
        image,
        message: `${image}: bitmap "${name}" does not mark ${formatSize(missingBytes)} that the image holds: an incremental backup silently lacks them`,
      });
    }
  }
  if (evidence.kind === 'lower' && lowest < evidence.first) {
    problems.push({
      code: 'origin-replaced',
      image: chain[evidence.first]!.image,
      message: `${replaced(name, chain, evidence)}, which has no bitmap of it: an incremental backup silently lacks what was written to that`,
    });
  }
  if (evidence.kind === 'left' && lowest < (evidence.fork ?? 0)) {
    problems.push({
      code: 'origin-left',
      image: chain[0]!.image,
      message: `${contradiction(name, chain, evidence)}, and no image from ${chain[evidence.fork!]!.image} down has the bitmap "${name}": an incremental backup silently lacks what differs from it`,
    });
  }
  return problems;
}
