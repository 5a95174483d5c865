/** Plans with one mistake each. The checker reports them, and QEMU agrees that they break images. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import { flush, type Plan, type Step, write, writeHeader } from '../../../src/plan/plan.ts';
import { seededRandom } from '../../support/random.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { type BitmapChange, planChange } from './bitmap-plan.ts';
import { examineOpenable, type OpenedImage } from './checker/examine.ts';
import { tryPlan } from './plan-trial.ts';
import { carriedOut } from './power-cut-states.ts';
import { disagreements } from './second-opinion.ts';
import { buildImage, type Recipe } from './shapes/build.ts';
import { payloadAtInSector } from './shapes/edits.ts';

type Spoil = (plan: Plan, original: OpenedImage) => Plan;

interface BadPlan {
  name: string;
  recipe: Recipe;
  change: BitmapChange;
  spoil: Spoil;
  violation: RegExp;
}

const addNew: BitmapChange = { store: [{ name: 'new', granularity: 65536, marks: 'random' }] };
const replaceOld: BitmapChange = { store: [{ name: 'old', granularity: 4096, marks: 'random' }] };
const empty: Recipe = { io: ['write -P 3 0 64k'] };
const withOld: Recipe = { ...empty, bitmaps: [['old', 65536]], dirty: ['write -P 1 64k 128k'] };
const twoSectors: Recipe = { ...withOld, edit: payloadAtInSector(496) };
const tiny: Recipe = { clusterSize: 512, refcountBits: 64, size: '2M', io: ['write -P 1 0 29k'] };

/** The plan with other steps; the commit stays the same step, or becomes the last one. */
function withSteps(plan: Plan, steps: Step[]): Plan {
  const kept = steps.indexOf(plan.steps[plan.commitIndex]!);
  return { ...plan, steps, commitIndex: kept < 0 ? steps.length - 1 : kept };
}

function without(...reasons: string[]): Spoil {
  return (plan) => {
    const steps = plan.steps.filter(({ reason }) => !reasons.some((start) => reason.startsWith(start)));
    if (steps.length === plan.steps.length) throw new Error(`no step is about ${reasons.join(' or ')}`);
    return withSteps(plan, steps);
  };
}

/** Leaves out the flush that follows the step. */
function unflushed(reason: string): Spoil {
  return (plan) => {
    const at = plan.steps.findLastIndex((step) => step.kind === 'write' && step.reason.startsWith(reason));
    const gone = plan.steps.findIndex((step, index) => index > at && step.kind === 'flush');
    if (at < 0 || gone < 0) throw new Error(`no flush after ${reason}`);
    return withSteps(
      plan,
      plan.steps.filter((_, index) => index !== gone),
    );
  };
}

/** Writes the header as it shall be in one go, over several sectors. */
const headerAtOnce: Spoil = (plan, { bytes, header }) => {
  const done = carriedOut(bytes, plan);
  const inHeader = (step: Step) => step.kind === 'write' && step.offset < header.clusterBytes;
  const first = plan.steps.findIndex(inHeader);
  const last = plan.steps.findLastIndex(inHeader);
  const steps = [
    ...plan.steps.slice(0, first),
    writeHeader(8, done.slice(8, 2048), 'the header in one write'),
    flush('the header'),
    ...plan.steps.slice(last + 2),
  ];
  return { ...plan, steps, commitIndex: first + 1 };
};

const releasedFirst: Spoil = (plan) => {
  const isRelease = (step: Step) => step.reason.startsWith('released');
  return withSteps(plan, [...plan.steps.filter(isRelease), ...plan.steps.filter((step) => !isRelease(step))]);
};

const ontoTheDisk: Spoil = (plan, { guest }) =>
  withSteps(plan, [
    write(hostOffset(guest.ranges[0]!.start), Uint8Array.of(1, 2, 3), 'in the wrong place'),
    ...plan.steps,
  ]);

const tooEarly: Spoil = (plan) => ({
  ...plan,
  commitIndex: plan.steps.findIndex(({ kind }) => kind === 'flush'),
});

const beforeItsFlush: Spoil = (plan) => ({ ...plan, commitIndex: plan.commitIndex - 1 });

const badPlans: BadPlan[] = [
  {
    name: 'the header in one write over two sectors, a first bitmap',
    recipe: empty,
    change: addNew,
    spoil: headerAtOnce,
    violation: /zero bitmaps/,
  },
  {
    name: 'the header in one write over two sectors, the backing file name moved',
    recipe: { ...empty, backing: 'base.qcow2' },
    change: addNew,
    spoil: headerAtOnce,
    violation: /does not open|another disk/,
  },
  {
    name: 'a payload in two sectors written over itself',
    recipe: twoSectors,
    change: addNew,
    spoil: headerAtOnce,
    violation: /does not open/,
  },
  {
    name: 'the backing file name overwritten',
    recipe: { ...empty, backing: 'base.qcow2' },
    change: addNew,
    spoil: without('backing', 'the copy'),
    violation: /does not open|another disk/,
  },
  {
    name: 'the backing file name not flushed before the header points at it',
    recipe: { ...empty, backing: 'base.qcow2' },
    change: addNew,
    spoil: unflushed('backing file name'),
    violation: /another disk/,
  },
  {
    name: 'the payload not flushed before the extension is shown',
    recipe: empty,
    change: addNew,
    spoil: unflushed('payload and new end marker'),
    violation: /zero bitmaps/,
  },
  {
    name: 'the second extension not flushed before the first is rewritten',
    recipe: twoSectors,
    change: addNew,
    spoil: unflushed('bitmaps extension in place'),
    violation: /does not open|neither the old nor the new/,
  },
  {
    name: 'the first extension not flushed before the second goes',
    recipe: twoSectors,
    change: addNew,
    spoil: unflushed('bitmaps extension, overruled'),
    violation: /does not open|neither the old nor the new/,
  },
  {
    name: 'new clusters not flushed before the header names them',
    recipe: withOld,
    change: replaceOld,
    spoil: unflushed('bitmap directory'),
    violation: /does not open|neither the old nor the new/,
  },
  {
    name: 'old clusters given back before the commit',
    recipe: withOld,
    change: replaceOld,
    spoil: releasedFirst,
    violation: /refcount 0, but 1 references/,
  },
  {
    name: 'old clusters given back without a flush after the commit',
    recipe: withOld,
    change: replaceOld,
    spoil: unflushed('header:'),
    violation: /refcount 0, but 1 references/,
  },
  {
    name: 'old clusters not given back',
    recipe: withOld,
    change: replaceOld,
    spoil: without('released'),
    violation: /leaked though all is done/,
  },
  {
    name: 'new clusters not counted',
    recipe: withOld,
    change: addNew,
    spoil: without('refcounts in block'),
    violation: /refcount 0, but 1 references/,
  },
  {
    name: 'a new refcount block not flushed before the table names it',
    recipe: tiny,
    change: { store: [{ name: 'new', granularity: 512, marks: 'random' }] },
    spoil: unflushed('bitmap directory'),
    violation: /refcount block at 0x8400 .*beyond the end/,
  },
  {
    name: 'a new refcount block not named',
    recipe: tiny,
    change: { store: [{ name: 'new', granularity: 512, marks: 'random' }] },
    spoil: without('refcount table entry'),
    violation: /refcount 0, but 1 references/,
  },
  { name: 'a write to the disk', recipe: empty, change: addNew, spoil: ontoTheDisk, violation: /guest data/ },
  {
    name: 'a commit that is claimed too early',
    recipe: withOld,
    change: replaceOld,
    spoil: tooEarly,
    violation: /old bitmaps after the commit/,
  },
  {
    name: 'a commit that no flush ends',
    recipe: withOld,
    change: replaceOld,
    spoil: beforeItsFlush,
    violation: /commit is not a flush/,
  },
];

describe('the checker finds a plan that a power cut would break', () => {
  it.each(badPlans)('$name', async ({ recipe, change, spoil, violation }) => {
    const path = await buildImage(await scratchFolder(), recipe);
    const original = examineOpenable(await readFile(path));
    const { plan, wanted } = await planChange(original.bytes, original.bitmaps, change);
    const options = { random: seededRandom(1), randomSubsets: 8 };
    expect(tryPlan(original, plan, wanted, options).violations, 'the plan as it was').toEqual([]);

    const trial = tryPlan(original, spoil(plan, original), wanted, options);
    expect(trial.violations.join('\n')).toMatch(violation);
    for (const { state, image } of trial.brokenStates) {
      expect(await disagreements(state.bytes, image, { path, encrypted: false })).toEqual([]);
    }
  });
});
