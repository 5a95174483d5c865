/**
 * What the header alone tells about the bitmaps of an image.
 */
import type { Violation } from '../format/bitmap-rules.ts';
import { AUTOCLEAR, INCOMPATIBLE, KNOWN_AUTOCLEAR } from '../format/features.ts';
import { hex } from '../format/format-error.ts';
import type { Image } from '../image/image.ts';
import type { Problem } from './problem.ts';

export const REPAIR_HINT = '"bitmap-tool repair --directory" mends it.';
export const CHECK_HINT = 'Run "qemu-img check -r all" on it before anything else.';

export function imageProblems({ header, bitmaps }: Image): Problem[] {
  const problems: Problem[] = [];
  const { incompatibleFeatures, autoclearFeatures, version } = header;
  const add = (problem: Omit<Problem, 'unopenable'>) => problems.push({ ...problem, unopenable: false });
  if ((incompatibleFeatures & INCOMPATIBLE.corrupt) !== 0n) {
    add({
      code: 'marked-corrupt',
      severity: 'error',
      message: 'the image is marked corrupt',
      hint: CHECK_HINT,
    });
  }
  if ((incompatibleFeatures & INCOMPATIBLE.dirty) !== 0n) {
    add({
      code: 'marked-dirty',
      severity: 'error',
      message: 'the image is marked dirty: its refcounts are stale',
      hint: CHECK_HINT,
    });
  }
  if (version === 2) {
    add({
      code: 'version-2',
      severity: 'note',
      message: 'a version 2 image (compat 0.10) cannot hold bitmaps',
      hint: 'Run "qemu-img amend -o compat=1.1" on it.',
    });
  }
  const unknown = autoclearFeatures & ~KNOWN_AUTOCLEAR;
  if (unknown !== 0n) {
    add({
      code: 'unknown-autoclear',
      severity: 'note',
      message: `unknown autoclear bits are set (${hex(unknown)}): the next change of the image clears them`,
    });
  }
  if (bitmaps.kind === 'broken') problems.push(...bitmaps.violations.map((each) => unopenable(each)));
  if (!bitmapsAreLive({ header, bitmaps })) {
    add({
      code: 'stale',
      severity: 'error',
      message:
        'autoclear bit 0 is clear: software that knows no bitmaps changed the image, or a change of its bitmaps was cut short; what its bitmaps hold is no longer valid',
      hint: 'The next program of QEMU that writes to it drops them. "bitmap-tool repair --directory" keeps their names, marked in-use.',
    });
  }
  return problems;
}

/** False only where there are bitmaps that QEMU ignores since autoclear bit 0 is clear. */
export function bitmapsAreLive({ header, bitmaps }: Pick<Image, 'header' | 'bitmaps'>): boolean {
  return (
    bitmaps.kind === 'none' ||
    bitmaps.kind === 'live' ||
    (header.autoclearFeatures & AUTOCLEAR.bitmaps) !== 0n
  );
}

/** A rule is broken, for which QEMU refuses the image. */
export function unopenable(
  { rule, message }: Violation,
  about: Pick<Problem, 'bitmap' | 'index' | 'offset'> = {},
): Problem {
  return { code: rule, severity: 'error', ...about, message, hint: REPAIR_HINT, unopenable: true };
}
