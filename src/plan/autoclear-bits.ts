/**
 * The steps that change the autoclear bits of the header.
 */
import { AUTOCLEAR, KNOWN_AUTOCLEAR } from '../format/features.ts';
import { headerStruct } from '../format/header.ts';
import type { Image } from '../image/image.ts';
import { flush, type Step, writeHeader } from './plan.ts';

export const AUTOCLEAR_OFFSET = headerStruct.byteOf('autoclearFeatures');

/** A writer clears the autoclear bits that it does not know (spec: "autoclear_features"). */
export function clearUnknownAutoclear({ header }: Image): Step[] {
  if ((header.autoclearFeatures & ~KNOWN_AUTOCLEAR) === 0n) return [];
  const known = header.autoclearFeatures & KNOWN_AUTOCLEAR;
  return [autoclear(known, 'autoclear_features without unknown bits'), flush('autoclear_features')];
}

function autoclear(value: bigint, reason: string): Step {
  return writeHeader(AUTOCLEAR_OFFSET, headerStruct.encodeField('autoclearFeatures', value), reason);
}

export function withBitmapsBit({ header }: Image, set: boolean): bigint {
  const others = header.autoclearFeatures & KNOWN_AUTOCLEAR & ~AUTOCLEAR.bitmaps;
  return set ? others | AUTOCLEAR.bitmaps : others;
}

export function bitmapsBit(image: Image, set: boolean): Step {
  const reason = set ? 'autoclear bit 0: the bitmaps are consistent' : 'autoclear bit 0 cleared: no bitmaps';
  return autoclear(withBitmapsBit(image, set), reason);
}
