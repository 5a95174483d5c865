/** Power cuts during changes of the header. */
import { afterAll, describe, it } from 'vitest';
import { headerShapes } from './shapes/header-shapes.ts';
import { survivesEveryPowerCut } from './survival.ts';
import { printTally } from './tally.ts';

describe('a power cut leaves the old or the new bitmaps: the header', () => {
  afterAll(() => printTally('the header'));

  it.each(headerShapes)('$name', survivesEveryPowerCut);
});
