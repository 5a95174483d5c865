/**
 * Shortens long lists of names.
 */

const MOST_IN_FULL = 4;

/** For example `"c1", "c2"`, or `"c3" … "c33" (31)` for more than four names. */
export function nameRange(names: readonly string[]): string {
  if (names.length <= MOST_IN_FULL) return names.map((name) => `"${name}"`).join(', ');
  return `"${names[0]}" … "${names.at(-1)}" (${names.length})`;
}
