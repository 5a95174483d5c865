/** A comparison for loops and long arrays. */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';

/** Only words a difference by toEqual(), which takes microseconds for each call and each element. */
export function expectEqual(found: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(found, expected)) expect(found).toEqual(expected);
}
