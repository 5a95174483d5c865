/**
 * Many names in a few words.
 */

const MOST_IN_FULL = 4;

/** For example `"c1", "c2"`, or `"c3" … "c33" (31)` where there are many. */
export function nameRange(names: readonly string[]): string {
  if (names.length <= MOST_IN_FULL) return names.map((name) => `"${name}"`).join(', ');
  return `"${names[0]}" … "${names.at(-1)}" (${names.length})`;
}
