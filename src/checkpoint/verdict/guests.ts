/**
 * Which checkpoints are of one guest.
 */
import type { Checkpoint } from '../checkpoint.ts';

/**
 * Those with one UUID of the domain, and parent and child. Where all that tell are of one guest, the others are of it too.
 *
 * @returns for each checkpoint what is equal for those of one guest; undefined where nothing says whose it is
 */
export function guestsOf(checkpoints: readonly Checkpoint[]): (string | undefined)[] {
  const leaders = new Map<string, string>();
  const leaderOf = (key: string): string => {
    const above = leaders.get(key);
    return above === undefined ? key : leaderOf(above);
  };
  const join = (one: string, other: string) => {
    const [a, b] = [leaderOf(one), leaderOf(other)];
    if (a !== b) leaders.set(a, b);
  };
  const nameKey = (name: string) => `name ${name}`;
  for (const { name, parent, guest } of checkpoints) {
    if (guest !== undefined) join(nameKey(name), `guest ${guest}`);
    if (parent !== undefined) join(nameKey(name), nameKey(parent));
  }
  const told = new Set(
    checkpoints.flatMap(({ guest }) => (guest === undefined ? [] : [leaderOf(`guest ${guest}`)])),
  );
  const [only = 'the only one'] = told;
  return checkpoints.map(({ name }) => {
    const leader = leaderOf(nameKey(name));
    if (told.has(leader)) return leader;
    return told.size < 2 ? only : undefined;
  });
}
