/**
 * Groups checkpoints by guest.
 */
import type { Checkpoint } from '../checkpoint.ts';

/**
 * Checkpoints with the same domain UUID belong to one guest. A parent and its child belong to one guest. If
 * all checkpoints with a known guest belong to one guest, the others belong to it too.
 *
 * @returns for each checkpoint a key that is equal for all checkpoints of one guest; undefined if the guest
 * is unknown
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
  const leadersWithUuid = new Set(
    checkpoints.flatMap(({ guest }) => (guest === undefined ? [] : [leaderOf(`guest ${guest}`)])),
  );
  const [only = 'the only one'] = leadersWithUuid;
  return checkpoints.map(({ name }) => {
    const leader = leaderOf(nameKey(name));
    if (leadersWithUuid.has(leader)) return leader;
    return leadersWithUuid.size < 2 ? only : undefined;
  });
}
