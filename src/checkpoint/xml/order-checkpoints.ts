/**
 * The order in which libvirt takes checkpoints: the parent must exist before the child.
 */
import { RefusedError } from '../../errors.ts';
import type { Checkpoint } from '../checkpoint.ts';

/**
 * Parents first, then by time, then by name. A parent that is not in the list counts as already defined.
 *
 * @throws RefusedError when the parents form a cycle
 */
export function orderCheckpoints<T extends Checkpoint>(checkpoints: readonly T[]): T[] {
  const waiting = [...checkpoints].sort(byTime);
  const missing = new Set(waiting.map(({ name }) => name));
  const ordered: T[] = [];
  while (waiting.length > 0) {
    const next = waiting.findIndex(({ parent }) => parent === undefined || !missing.has(parent));
    if (next < 0) throw circular(waiting);
    const [checkpoint] = waiting.splice(next, 1);
    missing.delete(checkpoint!.name);
    ordered.push(checkpoint!);
  }
  return ordered;
}

function byTime(a: Checkpoint, b: Checkpoint): number {
  return a.creationTime - b.creationTime || (a.name < b.name ? -1 : 1);
}

function circular(checkpoints: readonly Checkpoint[]): RefusedError {
  const parentOf = new Map(checkpoints.map(({ name, parent }) => [name, parent]));
  const walked = new Set<string>();
  let name = checkpoints[0]!.name;
  while (!walked.has(name)) {
    walked.add(name);
    name = parentOf.get(name)!;
  }
  const circle = [...walked].slice([...walked].indexOf(name));
  return new RefusedError(
    'INVALID_CHECKPOINT',
    `the parents of these checkpoints form a circle: ${[...circle, name].join(' → ')}`,
    {
      remedy: { kind: 'remove-parent' },
      context: { checkpoints: circle },
    },
  );
}
