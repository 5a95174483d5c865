/** Plans as data: their size, and devices that are too small. */
import { describe, expect, test } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import { bytesWritten, flush, refuseGrowingDevice, write } from '../../../src/plan/plan.ts';

const plan = {
  steps: [
    write(hostOffset(0), new Uint8Array(7), 'a'),
    flush('a'),
    write(hostOffset(512), new Uint8Array(5), 'b'),
    flush('b'),
  ],
  commitIndex: 1,
  claimedClusters: 0,
  releasedClusters: 0,
  newEndOffset: 4096,
};

test('the size of a plan is the size of its writes', () => {
  expect(bytesWritten(plan)).toBe(12);
  expect(bytesWritten({ ...plan, steps: [flush('a')] })).toBe(0);
});

describe('an image that would grow', () => {
  const device = (sizeBytes: number, canGrow: boolean) => ({ name: '/dev/vg/lv', sizeBytes, canGrow });

  test.each([
    [4095, true],
    [4096, false],
    [8192, false],
  ])('is accepted on %i bytes that can grow (%s) or are enough', (sizeBytes, canGrow) => {
    expect(refuseGrowingDevice(device(sizeBytes, canGrow), plan)).toBeUndefined();
  });

  test('is refused on a device that is too small, with the needed size', () => {
    expect(() => refuseGrowingDevice(device(4095, false), plan)).toThrow(
      expect.objectContaining({
        code: 'NO_ROOM',
        remedy: { kind: 'extend-device', neededBytes: 4096 },
        context: { file: '/dev/vg/lv', sizeBytes: 4095, neededBytes: 4096 },
      }),
    );
  });
});
