/** Chooses the faults of a usual run: all of few, or some of many. */
import type { Random } from '../../support/random.ts';

/**
 * Some of `all`, by chance, those that matter most first; every one with BITMAP_TOOL_FAULTS=all.
 *
 * @param matters asked once for each
 */
export function chosen<T>(
  all: readonly T[],
  usualCount: number,
  random: Random,
  matters: (one: T) => boolean,
): T[] {
  if (process.env['BITMAP_TOOL_FAULTS'] === 'all') return [...all];
  return all
    .map((one) => ({ one, rank: random.below(1000) + (matters(one) ? 1000 : 0) }))
    .sort((a, b) => b.rank - a.rank)
    .slice(0, usualCount)
    .map(({ one }) => one);
}
