/** Carries out a plan with a power cut at every possible moment, and collects what breaks. */
import type { Plan } from '../../../src/plan/plan.ts';
import type { Random } from '../../support/random.ts';
import type { OpenedImage, StoredBitmap } from './checker/examine.ts';
import { judgeState, type Promised } from './judge.ts';
import { type PowerCutState, powerCutStates } from './power-cut-states.ts';
import { Sample } from './sample.ts';

export interface JudgedState {
  state: PowerCutState;
  image: OpenedImage;
}

export interface Trial {
  stateCount: number;
  /** States that break the promise, each with where the cut was. */
  violations: string[];
  /** What a cut between two changes of the header leaves, and the plan carried out. */
  headerStates: JudgedState[];
  /** Some of the other states. */
  otherStates: JudgedState[];
  /** Those of `violations`; without an image where it does not open. */
  brokenStates: { state: PowerCutState; image: OpenedImage | undefined }[];
}

const mostViolations = 6;
const mostHeaderStates = 48;
const mostOtherStates = 10;

export function tryPlan(
  original: OpenedImage,
  plan: Pick<Plan, 'steps' | 'commitIndex'>,
  newBitmaps: readonly StoredBitmap[],
  { random, randomSubsets }: { random: Random; randomSubsets: number },
): Trial {
  const promised: Promised = {
    original,
    oldBitmaps: original.bitmaps,
    newBitmaps,
    commitIndex: plan.commitIndex,
    stepCount: plan.steps.length,
  };
  const violations: string[] = [];
  if (plan.steps[plan.commitIndex]?.kind !== 'flush') violations.push('the commit is not a flush');
  const headerStates = new Sample<JudgedState>(mostHeaderStates, random);
  const otherStates = new Sample<JudgedState>(mostOtherStates, random);
  const brokenStates: Trial['brokenStates'] = [];
  let stateCount = 0;
  for (const state of powerCutStates(original.bytes, plan, random, randomSubsets)) {
    stateCount++;
    const { image, violations: found } = judgeState(state, promised);
    if (found.length > 0) {
      violations.push([describe(state, plan), ...found.slice(0, 4)].join('\n    '));
      brokenStates.push({ state, image });
    }
    if (violations.length >= mostViolations) break;
    if (image === undefined) continue;
    const sample = isAboutHeader(state, image) ? headerStates : otherStates;
    sample.offer({ state, image });
  }
  return {
    stateCount,
    violations,
    headerStates: headerStates.items,
    otherStates: otherStates.items,
    brokenStates,
  };
}

/** The last group has no pieces: it is the plan carried out. */
function isAboutHeader({ pieces }: PowerCutState, { header }: OpenedImage): boolean {
  return pieces.length === 0 || pieces.every(({ offset }) => offset < header.clusterBytes);
}

function describe({ doneSteps, pieces, stored }: PowerCutState, { steps }: Pick<Plan, 'steps'>): string {
  const until =
    doneSteps === 0 ? 'nothing' : `step ${doneSteps - 1} (flush of ${steps[doneSteps - 1]!.reason})`;
  const some = stored.slice(0, 6).map(({ offset, bytes, reason }) => `${reason} [${offset}+${bytes.length}]`);
  const rest = stored.length > some.length ? [`${stored.length - some.length} more`] : [];
  return `done: ${until}; also stored, of ${pieces.length} sectors in flight: ${[...some, ...rest].join(', ') || 'none'}`;
}
