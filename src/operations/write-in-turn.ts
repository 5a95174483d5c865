/**
 * Writes several images, one after another. If one fails, the error says which were written before it.
 */
import type { Qcow2Layer } from '../chain/layer.ts';
import { claimForWriting } from '../chain/locking.ts';
import { FailedError } from '../errors.ts';
import { applyPlan } from '../plan/apply-plan.ts';
import type { Plan } from '../plan/plan.ts';
import { inSteps, type Remedy } from '../remedy.ts';
import { lockingOf, type OperationOptions } from './options.ts';

interface PlannedWrite {
  readonly layer: Qcow2Layer;
  readonly plan: Plan;
}

/** How the error describes the images that were written before the failure. */
interface Interruption {
  /** Precedes their paths in the message. */
  readonly words: string;
  /** The key of their paths in the error's context. */
  readonly key: 'done' | 'repaired';
  readonly remedy: Remedy;
}

/**
 * Claims all images before it writes the first one. They were opened with `write-later`.
 *
 * @throws InUseError, FailedError when one cannot be claimed; nothing was written then
 * @throws FailedError when a write fails; the message says which images are done
 */
export async function writeInTurn(
  writes: readonly PlannedWrite[],
  interruption: Interruption,
  options: OperationOptions,
): Promise<void> {
  for (const { layer } of writes) await claimForWriting(layer.storage, lockingOf(options));
  options.signal?.throwIfAborted();
  for (const [index, { layer, plan }] of writes.entries()) {
    try {
      await applyPlan(layer.storage, plan);
    } catch (error) {
      if (!(error instanceof FailedError)) throw error;
      throw failedAt(index, writes, interruption, error);
    }
  }
}

function failedAt(
  index: number,
  writes: readonly PlannedWrite[],
  { words, key, remedy }: Interruption,
  error: FailedError,
): FailedError {
  const paths = writes.map(({ layer }) => layer.path);
  const [done, untouched] = [paths.slice(0, index), paths.slice(index + 1)];
  const list = (what: string, names: readonly string[]) =>
    names.length === 0 ? '' : `; ${what}: ${names.join(', ')}`;
  return new FailedError(
    error.code,
    `${error.message}${list(words, done)}${list('not yet touched', untouched)}`,
    {
      cause: error,
      remedy: inSteps(error.remedy, remedy),
      context: { ...error.context, [key]: done, untouched },
    },
  );
}
