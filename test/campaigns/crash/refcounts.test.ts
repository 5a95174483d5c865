/** Power cuts while clusters are claimed and released. */
import { afterAll, describe, it } from 'vitest';
import { refcountShapes } from './shapes/refcount-shapes.ts';
import { survivesEveryPowerCut } from './survival.ts';
import { printTally } from './tally.ts';

describe('a power cut leaves the old or the new bitmaps: refcounts', () => {
  afterAll(() => printTally('refcounts'));

  it.each(refcountShapes)('$name', survivesEveryPowerCut);
});
