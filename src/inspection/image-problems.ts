/**
 * Problems found in the header alone.
 */
import type { Violation } from '../format/bitmap-rules.ts';
import { INCOMPATIBLE, KNOWN_AUTOCLEAR } from '../format/features.ts';
import { hex } from '../format/format-error.ts';
import { hasIgnoredBitmaps, type Image, whatQemuWrites } from '../image/image.ts';
import type { Problem } from './problem.ts';

export function imageProblems(image: Image): Problem[] {
  const { header, bitmaps } = image;
  const problems: Problem[] = [];
  const { incompatibleFeatures, autoclearFeatures, version } = header;
  const add = (problem: Omit<Problem, 'unopenable'>) => problems.push({ ...problem, unopenable: false });
  if ((incompatibleFeatures & INCOMPATIBLE.corrupt) !== 0n) {
    add({
      code: 'marked-corrupt',
      severity: 'error',
      message: 'the image is marked corrupt',
      remedy: { kind: 'check-and-repair', ...whatQemuWrites(image) },
    });
  }
  if ((incompatibleFeatures & INCOMPATIBLE.dirty) !== 0n) {
    add({
      code: 'marked-dirty',
      severity: 'error',
      message: 'the image is marked dirty: its refcounts are stale',
      remedy: { kind: 'check-and-repair', ...whatQemuWrites(image) },
    });
  }
  if (version === 2) {
    add({
      code: 'version-2',
      severity: 'note',
      message: 'a version 2 image (compat 0.10) cannot hold bitmaps',
      remedy: { kind: 'upgrade-version', ...whatQemuWrites(image) },
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
  if (bitmaps.kind === 'broken') problems.push(...bitmaps.violations.map((each) => unopenable(image, each)));
  if (hasIgnoredBitmaps(image)) {
    add({
      code: 'stale',
      severity: 'error',
      message:
        'autoclear bit 0 is clear: software without support for bitmaps changed the image, or a change of its bitmaps was interrupted; the content of its bitmaps is not valid',
      remedy: { kind: 'keep-outdated-names', file: image.storage.name },
    });
  }
  return problems;
}

/** The problem for a broken rule because of which QEMU refuses the image. */
export function unopenable(
  { storage }: Image,
  { rule, message }: Violation,
  about: Pick<Problem, 'bitmap' | 'index' | 'offset'> = {},
): Problem {
  const remedy = { kind: 'repair-directory', file: storage.name } as const;
  return { code: rule, severity: 'error', ...about, message, remedy, unopenable: true };
}
