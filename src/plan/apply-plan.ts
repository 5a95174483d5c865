/**
 * The one place where an image is written.
 */
import { BitmapToolError, FailedError } from '../errors.ts';
import { inSteps } from '../remedy.ts';
import type { Storage } from '../storage/storage.ts';
import type { Plan, Step } from './plan.ts';

type WriteStep = Extract<Step, { kind: 'write' }>;

/**
 * Carries out every step in order. Adjacent writes before the commit are one request. It cannot be stopped: a
 * caller must cancel before the call.
 *
 * @throws FailedError when a write or a flush fails. Its message describes the state of the image on disk,
 * and names the first step of the request. After a failed flush nothing more is written: the device may have
 * kept any of the earlier writes.
 */
export async function applyPlan(storage: Storage, plan: Plan): Promise<void> {
  for (let index = 0; index < plan.steps.length; ) {
    const step = plan.steps[index]!;
    try {
      if (step.kind === 'write') {
        const parts = adjacentWrites(plan, index, step);
        await storage.write(step.offset, ...parts);
        index += parts.length;
      } else {
        await storage.flush();
        index++;
      }
    } catch (cause) {
      throw interruptedBy(cause, storage.name, plan, index);
    }
  }
}

/** Far below 2 GiB, which is too much for one call of Node. */
const JOINED_BYTES = 64 * 2 ** 20;
/** The limit of pwritev(2), IOV_MAX. Many more would also be too many arguments for one call. */
const JOINED_PARTS = 1024;

/**
 * The bytes of the write at `index` and of those that continue it. The commit and what follows it are
 * requests of their own, since their failure leaves the image in another state.
 */
function adjacentWrites(
  { steps, commitIndex }: Plan,
  index: number,
  { offset, bytes }: WriteStep,
): Uint8Array[] {
  const parts = [bytes];
  let end = offset + bytes.length;
  while (parts.length < JOINED_PARTS && index + parts.length < commitIndex - 1) {
    const next = steps[index + parts.length]!;
    if (next.kind !== 'write' || next.offset !== end || end + next.bytes.length > offset + JOINED_BYTES)
      break;
    parts.push(next.bytes);
    end += next.bytes.length;
  }
  return parts;
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
