/** Power cuts in changes of every kind, on images of every kind. */
import { afterAll, describe, it } from 'vitest';
import { bitmapShapes } from './shapes/bitmap-shapes.ts';
import { survivesEveryPowerCut } from './survival.ts';
import { printTally } from './tally.ts';

describe('a power cut leaves the old or the new bitmaps: kinds of changes', () => {
  afterAll(() => printTally('kinds of changes'));

  it.each(bitmapShapes)('$name', survivesEveryPowerCut);
});
