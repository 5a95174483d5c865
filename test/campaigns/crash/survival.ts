/** The complete trial of one change: every power cut, the same change after a cut, and QEMU's opinion. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { applyPlan } from '../../../src/plan/apply-plan.ts';
import { memoryStorage } from '../../support/memory.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { type BitmapChange, planChange } from './bitmap-plan.ts';
import { examineOpenable, type OpenedImage, type StoredBitmap } from './checker/examine.ts';
import { guestViolations, namesOf, newLeaks, sameBitmaps } from './judge.ts';
import { type JudgedState, type Trial, tryPlan } from './plan-trial.ts';
import { carriedOut } from './power-cut-states.ts';
import { contentDisagreement, disagreements, type Place } from './second-opinion.ts';
import { tally } from './tally.ts';

export interface Shape {
  name: string;
  /** Builds the image in a folder and returns its path. */
  build(folder: string): Promise<string>;
  change: BitmapChange;
  encrypted?: boolean;
  /** What the plan has to have a step about, for the shape to be what its name says. */
  stepsAbout?: string[];
}

const usualRandomSubsets = 16;
const statesForQemu = 12;
const secondCuts = 3;

export async function survivesEveryPowerCut(shape: Shape): Promise<void> {
  const { seed, again } = randomCases(1)[0]!;
  try {
    await tryShape(shape, seededRandom(seed));
  } catch (error) {
    if (error instanceof Error) error.message += `\n\nTo repeat: ${again}`;
    throw error;
  }
}

async function tryShape(shape: Shape, random: Random): Promise<void> {
  const { change, stepsAbout = [] } = shape;
  const { bytes, place } = await builtShape(shape);
  const original = examineOpenable(bytes);
  expect(original.errors, 'errors before the change').toEqual([]);
  if (place !== undefined) {
    expect(await disagreements(original.bytes, original, place), 'the checker and QEMU').toEqual([]);
  }

  const { plan, wanted } = await planChange(original.bytes, original.bitmaps, change);
  const reasons = plan.steps.map(({ reason }) => reason);
  for (const about of stepsAbout) expect(reasons, 'what the plan is about').toContain(about);
  const storage = memoryStorage(original.bytes);
  await applyPlan(storage, plan);
  expect(Buffer.compare(storage.contents(), carriedOut(original.bytes, plan)), 'carried out').toBe(0);
  expect(storage.sizeBytes, 'newEndOffset').toBe(plan.newEndOffset);

  const trial = tryPlan(original, plan, wanted, { random, randomSubsets: randomSubsetCount() });
  count(trial);
  expect(trial.violations.join('\n'), 'what power cuts break').toBe('');

  for (const cut of [...trial.headerStates, ...trial.otherStates]) {
    await changeAgain(cut, original, wanted, change);
  }
  for (const cut of halfWay(original, trial).slice(0, secondCuts)) {
    await cutAgain(cut, wanted, change, random);
  }
  if (place !== undefined) await compareWithQemu(trial, place);
}

interface BuiltShape {
  bytes: Buffer;
  /** Where QEMU can look at it; undefined where it is not to be asked. */
  place: Place | undefined;
}

/**
 * With BITMAP_TOOL_SHAPES, a folder, images are built once and kept there, and QEMU is not asked about their states: for
 * mutation testing, which makes the same trials thousands of times.
 */
async function builtShape({ name, build, encrypted = false }: Shape): Promise<BuiltShape> {
  const folder = process.env['BITMAP_TOOL_SHAPES'];
  if (folder === undefined || folder === '') {
    const path = await build(await scratchFolder());
    return { bytes: await readFile(path), place: { path, encrypted } };
  }
  const kept = join(folder, encodeURIComponent(name));
  const bytes = await readFile(kept).catch(async () => readFile(await build(await scratchFolder())));
  await writeFile(kept, bytes);
  return { bytes, place: undefined };
}

function randomSubsetCount(): number {
  const asked = process.env['BITMAP_TOOL_CRASH_SUBSETS'];
  if (asked === undefined || asked === '') return usualRandomSubsets;
  if (!/^\d+$/.test(asked)) throw new RangeError(`BITMAP_TOOL_CRASH_SUBSETS=${asked} is not a count`);
  return Number(asked);
}

function count({ stateCount }: Trial): void {
  tally.plans++;
  tally.states += stateCount;
}

/** Runs the command again after the power cut. */
async function changeAgain(
  { state, image }: JudgedState,
  original: OpenedImage,
  wanted: readonly StoredBitmap[],
  change: BitmapChange,
): Promise<void> {
  if (!hasWork(image, change)) return;
  tally.repeated++;
  const { plan } = await planChange(state.bytes, image.bitmaps, change);
  const result = examineOpenable(carriedOut(state.bytes, plan));
  const where = `the change again, after a cut behind step ${state.doneSteps}`;
  expect([...result.errors, ...guestViolations(result, original)], where).toEqual([]);
  expect(sameBitmaps(result.bitmaps, wanted), `${where}: ${namesOf(result.bitmaps)}`).toBe(true);
  expect(newLeaks(result, image), `${where}: leaks that the cut had not made`).toEqual([]);
}

/** A bitmap that is gone already cannot be removed. */
function hasWork({ bitmaps }: OpenedImage, { store = [], remove = [] }: BitmapChange): boolean {
  return store.length > 0 || bitmaps.some(({ name }) => remove.includes(name));
}

/** States whose header is neither the old nor the new one, each header once. */
function halfWay({ bytes, header }: OpenedImage, { headerStates }: Trial): JudgedState[] {
  const headerOf = (image: Uint8Array) =>
    Buffer.from(image.subarray(0, header.clusterBytes)).toString('latin1');
  const last = headerStates.find(({ state }) => state.pieces.length === 0);
  const seen = new Set([headerOf(bytes), ...(last === undefined ? [] : [headerOf(last.state.bytes)])]);
  return headerStates.filter(({ state }) => {
    const own = headerOf(state.bytes);
    return !seen.has(own) && seen.add(own);
  });
}

/** The power fails again while the change is repeated. */
async function cutAgain(
  { state, image }: JudgedState,
  wanted: readonly StoredBitmap[],
  change: BitmapChange,
  random: Random,
): Promise<void> {
  if (!hasWork(image, change)) return;
  const { plan } = await planChange(state.bytes, image.bitmaps, change);
  const trial = tryPlan(image, plan, wanted, { random, randomSubsets: 2 });
  count(trial);
  expect(trial.violations.join('\n'), `what a second cut breaks, behind step ${state.doneSteps}`).toBe('');
}

async function compareWithQemu({ headerStates, otherStates }: Trial, place: Place): Promise<void> {
  const last = headerStates.at(-1)!;
  const others = otherStates.slice(0, 3);
  const states = [...others, ...evenly(headerStates.slice(0, -1), statesForQemu - others.length - 1), last];
  for (const { state, image } of states) {
    tally.seenByQemu++;
    const where = `checker and QEMU after a cut behind step ${state.doneSteps}`;
    expect(await disagreements(state.bytes, image, place), where).toEqual([]);
  }
  const bitmap = last.image.bitmaps.at(-1);
  if (bitmap !== undefined) expect(await contentDisagreement(bitmap, place)).toEqual([]);
}

function evenly<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items];
  return Array.from({ length: most }, (_, index) => items[Math.floor((index * items.length) / most)]!);
}
