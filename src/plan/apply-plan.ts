/**
 * The one place where an image is written.
 */
import { BitmapToolError, FailedError } from '../errors.ts';
import { inSteps } from '../remedy.ts';
import type { Storage } from '../storage/storage.ts';
import type { Plan, Step } from './plan.ts';

/** Enough to keep all threads of Node busy that write. */
const MOST_AT_ONCE = 16;

/**
 * Carries out every step in order. Adjacent writes are made at once, since none of them changes what another one
 * writes. It cannot be stopped: a caller must cancel before the call.
 *
 * @throws FailedError when a write or a flush fails. Its message describes the state of the image on disk.
 * After a failed flush nothing more is written: the device may have kept any of the earlier writes.
 */
export async function applyPlan(storage: Storage, plan: Plan): Promise<void> {
  for (let index = 0; index < plan.steps.length; ) {
    const end = endOfAdjacent(plan, index);
    const steps = plan.steps.slice(index, end);
    const results = await Promise.allSettled(steps.map((step) => carryOut(storage, step)));
    for (const [position, result] of results.entries()) {
      if (result.status === 'rejected') {
        throw interruptedBy(result.reason, storage.name, plan, index + position);
      }
    }
    index = end;
  }
}

async function carryOut(storage: Storage, step: Step): Promise<void> {
  if (step.kind === 'write') await storage.write(step.offset, step.bytes);
  else await storage.flush();
}

/** The index after the writes that begin with the step at `index`. The commit is always made alone. */
function endOfAdjacent({ steps, commitIndex }: Plan, index: number): number {
  let end = index + 1;
  while (end < index + MOST_AT_ONCE && end < commitIndex - 1 && isAdjacent(steps[end - 1]!, steps[end]!))
    end++;
  return end;
}

function isAdjacent(step: Step, next: Step): boolean {
  return step.kind === 'write' && next.kind === 'write' && next.offset === step.offset + step.bytes.length;
}

/**
 * Describes the state on disk after the step at `index` failed. The last write before the commit's flush is
 * the commit itself.
 */
function stateAfter({ commitIndex }: Plan, index: number): string {
  if (index < commitIndex - 1) return 'its bitmaps are as before; clusters may have leaked';
  if (index > commitIndex)
    return 'the new bitmaps are in place; clusters that the old ones used may have leaked';
  return 'its bitmaps are all as before or, if that write reached the device, all new; clusters may have leaked';
}

function interruptedBy(cause: unknown, name: string, plan: Plan, index: number): unknown {
  if (!(cause instanceof BitmapToolError)) return cause;
  const step = plan.steps[index]!;
  const state = stateAfter(plan, index);
  const code = cause instanceof FailedError ? cause.code : 'IO_ERROR';
  return new FailedError(code, `${cause.message} (${step.kind} of ${step.reason}); ${state}`, {
    cause,
    remedy: inSteps(cause.remedy ?? { kind: 'remove-cause' }, { kind: 'free-leaks-of-failure', file: name }),
    context: { ...cause.context, step: index, steps: plan.steps.length },
  });
}
