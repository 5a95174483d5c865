/** Reports what a power cut broke. The image must open, with all of its old or all of its new bitmaps. */
import { examine, type OpenedImage, type StoredBitmap } from './checker/examine.ts';
import type { PowerCutState } from './power-cut-states.ts';

export interface Promised {
  original: OpenedImage;
  oldBitmaps: readonly StoredBitmap[];
  newBitmaps: readonly StoredBitmap[];
  /** Index of the step from whose completion on the new bitmaps must be there. */
  commitIndex: number;
  stepCount: number;
}

export interface Verdict {
  /** Undefined where the image does not open. */
  image: OpenedImage | undefined;
  violations: string[];
}

export function judgeState(state: PowerCutState, promised: Promised): Verdict {
  const image = examine(state.bytes);
  if (!image.opens) return { image: undefined, violations: [`the image does not open: ${image.reason}`] };
  return {
    image,
    violations: [
      ...image.errors,
      ...guestViolations(image, promised.original),
      ...bitmapViolations(image, state, promised),
      ...(isCarriedOut(state, promised) ? leakViolations(image, promised) : []),
    ],
  };
}

/** The disk, and all else in the header that is not about bitmaps. */
export function guestViolations(image: OpenedImage, original: OpenedImage): string[] {
  const violations: string[] = [];
  const aside = ({ header }: OpenedImage) => {
    const { virtualSizeBytes, l1, snapshots, backing, dataFileName, encryption, otherExtensions } = header;
    return JSON.stringify({
      virtualSizeBytes,
      l1,
      snapshots,
      backing,
      dataFileName,
      encryption,
      otherExtensions,
    });
  };
  if (aside(image) !== aside(original)) {
    violations.push(`the header is about another disk: ${aside(image)}, not ${aside(original)}`);
  }
  const map = image.guest.map;
  if (
    map.length !== original.guest.map.length ||
    !map.every((word, index) => word === original.guest.map[index])
  ) {
    violations.push('the disk lies elsewhere in the file');
  }
  for (const { start, end } of original.guest.ranges) {
    if (Buffer.compare(image.bytes.subarray(start, end), original.bytes.subarray(start, end)) !== 0) {
      violations.push(`guest data changed in bytes ${start} to ${end} of the file`);
    }
  }
  return violations;
}

function bitmapViolations(image: OpenedImage, { doneSteps }: PowerCutState, promised: Promised): string[] {
  const isNew = sameBitmaps(image.bitmaps, promised.newBitmaps);
  const isOld = sameBitmaps(image.bitmaps, promised.oldBitmaps);
  if (!isNew && !isOld) {
    return [`neither the old nor the new bitmaps: ${namesOf(image.bitmaps)}`];
  }
  if (doneSteps > promised.commitIndex && !isNew) return ['the old bitmaps after the commit'];
  return [];
}

function isCarriedOut({ doneSteps, pieces, stored }: PowerCutState, { stepCount }: Promised): boolean {
  return doneSteps === stepCount && stored.length === pieces.length;
}

function leakViolations(image: OpenedImage, { original }: Promised): string[] {
  const leaks = newLeaks(image, original);
  return leaks.length === 0 ? [] : [`clusters leaked though all is done: ${leaks.join(', ')}`];
}

/** Clusters that are lost in `image` and were not in `before`. */
export function newLeaks(image: OpenedImage, before: OpenedImage): number[] {
  const known = new Set(before.allLeaks());
  return image.allLeaks().filter((cluster) => !known.has(cluster));
}

export function sameBitmaps(a: readonly StoredBitmap[], b: readonly StoredBitmap[]): boolean {
  return a.length === b.length && a.every((bitmap, index) => sameBitmap(bitmap, b[index]!));
}

function sameBitmap(a: StoredBitmap, b: StoredBitmap): boolean {
  if (a.name !== b.name || a.granularity !== b.granularity || a.flags.join() !== b.flags.join()) return false;
  if (a.bits === undefined || b.bits === undefined) return a.bits === b.bits;
  return a.bits.equals(b.bits);
}

export function namesOf(bitmaps: readonly StoredBitmap[]): string {
  return bitmaps.length === 0 ? '(none)' : bitmaps.map(({ name }) => `"${name}"`).join(', ');
}
