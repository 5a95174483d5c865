/**
 * The one place where an image is written.
 */
import { BitmapToolError, FailedError } from '../errors.ts';
import { inSteps } from '../remedy.ts';
import type { Storage } from '../storage/storage.ts';
import type { Plan } from './plan.ts';

/**
 * Carries out every step in order. It cannot be stopped: a caller must cancel before the call.
 *
 * @throws FailedError when a write or a flush fails. Its message describes the state of the image on disk.
 * After a failed flush nothing more is written: the device may have kept any of the earlier writes.
 */
export async function applyPlan(storage: Storage, plan: Plan): Promise<void> {
  for (const [index, step] of plan.steps.entries()) {
    try {
      if (step.kind === 'write') await storage.write(step.offset, step.bytes);
      else await storage.flush();
    } catch (cause) {
      throw interruptedBy(cause, storage.name, plan, index);
    }
  }
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
