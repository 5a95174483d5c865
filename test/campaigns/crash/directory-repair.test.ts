/**
 * Power cuts during the repair of an image that QEMU refuses because of its bitmaps, or that has leaked clusters. The image
 * stays as it was, or it opens with the repaired bitmaps or with none. Its disk is never changed.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { censusOf } from '../../../src/census/census.ts';
import { openImage } from '../../../src/image/image.ts';
import { inspectBitmaps } from '../../../src/inspection/inspect-bitmaps.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { type DirectoryRepair, planDirectoryRepair } from '../../../src/plan/plan-directory-repair.ts';
import { memoryStorage } from '../../support/memory.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { EditedImage } from '../../unit/image/edited-image.ts';
import { examine, examineOpenable, type OpenedImage } from './checker/examine.ts';
import { guestViolations, namesOf, sameBitmaps } from './judge.ts';
import { carriedOut, type PowerCutState, powerCutStates } from './power-cut-states.ts';
import { Sample } from './sample.ts';
import { disagreements } from './second-opinion.ts';
import { buildImage, type Recipe } from './shapes/build.ts';
import {
  bitmapsExtensionTwice,
  inTurn,
  leak,
  payloadAtInSector,
  setUnknownAutoclearBits,
  unknownExtensionLast,
} from './shapes/edits.ts';
import { printTally, tally } from './tally.ts';

const withBitmaps: Recipe = {
  io: ['write -P 3 0 64k'],
  bitmaps: [
    ['first', 512],
    ['second', 65536],
  ],
  dirty: ['write -P 1 64k 128k', 'write -P 2 512k 64k'],
};

const layouts: [string, Recipe][] = [
  ['as QEMU lays it out', withBitmaps],
  ['with a backing file', { ...withBitmaps, backing: 'base.qcow2' }],
  ['in clusters of 512', { ...withBitmaps, clusterSize: 512 }],
  ['in clusters of 4096 with refcounts of 1 bit', { ...withBitmaps, clusterSize: 4096, refcountBits: 1 }],
  ['the payload in two sectors', { ...withBitmaps, edit: payloadAtInSector(496) }],
  [
    'the payload in two sectors and not last',
    { ...withBitmaps, edit: inTurn(payloadAtInSector(504), unknownExtensionLast(20)) },
  ],
  ['an unknown extension behind', { ...withBitmaps, edit: unknownExtensionLast(20) }],
  ['the extension twice', { ...withBitmaps, edit: bitmapsExtensionTwice }],
  ['with unknown autoclear bits', { ...withBitmaps, edit: setUnknownAutoclearBits }],
];

const breakages: [string, (image: EditedImage) => void][] = [
  ['no bitmaps are counted', (image) => image.setExtension({ count: 0 })],
  ['the length is 16', (image) => image.setExtension({ length: 16 })],
  [
    'the length is wrong and the autoclear bit clear',
    (image) => {
      image.setExtension({ length: 20 });
      image.setAutoclear(0);
    },
  ],
  ['the directory is nowhere', (image) => image.setExtension({ offset: 0 })],
  ['an entry has another type', (image) => image.changeEntry(0, { type: 5 })],
  ['no entry makes sense', (image) => image.mapEntries([{ granularityBits: 0 }, { granularityBits: 77 }])],
  ['a table entry is broken', (image) => image.writeTable(1, [3n])],
  ['the bitmaps are stale', (image) => image.setAutoclear(0)],
  // Beyond the end of the file, where QEMU does not look for it.
  ['clusters leaked', ({ bytes }) => leak((count) => [count, count + 3])(bytes)],
];

const statesForQemu = 1;
const statesToRepairAgain = 4;

interface Repair {
  intact: OpenedImage;
  /** Undefined where QEMU does not open it. */
  before: OpenedImage | undefined;
  after: OpenedImage;
  plan: Plan;
}

async function planRepair(bytes: Uint8Array): Promise<DirectoryRepair> {
  const image = await openImage(memoryStorage(bytes, { name: 'image' }), 'lenient');
  return planDirectoryRepair(await inspectBitmaps(await censusOf(image)));
}

function opened(bytes: Uint8Array): OpenedImage | undefined {
  const image = examine(bytes);
  return image.opens ? image : undefined;
}

/** The broken promises. */
function violationsOf(state: PowerCutState, { intact, before, after, plan }: Repair): string[] {
  const image = opened(state.bytes);
  const isCommitted = state.doneSteps > plan.commitIndex;
  if (image === undefined) {
    if (before !== undefined || isCommitted) return ['the image does not open'];
    return intact.guest.ranges
      .filter(
        ({ start, end }) =>
          !intact.bytes.subarray(start, end).every((byte, at) => byte === state.bytes[start + at]),
      )
      .map(({ start }) => `guest data changed at ${start}`);
  }
  const isNew = sameBitmaps(image.bitmaps, after.bitmaps);
  const isOld = before !== undefined && sameBitmaps(image.bitmaps, before.bitmaps);
  const isHidden = image.bitmaps.length === 0;
  const allowed = isNew || (!isCommitted && (isOld || isHidden));
  const isDone = state.doneSteps === plan.steps.length;
  return [
    ...image.errors,
    ...guestViolations(image, intact),
    ...(allowed ? [] : [`the bitmaps are ${namesOf(image.bitmaps)}`]),
    ...(isDone ? image.allLeaks().map((cluster) => `cluster ${cluster} is lost`) : []),
  ];
}

/** Runs the repair again after the power cut. It must succeed, and no name may be lost. */
async function repairAgain({ bytes, doneSteps }: PowerCutState, { intact, after }: Repair): Promise<void> {
  tally.repeated++;
  const { plan } = await planRepair(bytes);
  const image = examineOpenable(plan === undefined ? bytes : carriedOut(bytes, plan));
  const where = `the repair again, after a cut behind step ${doneSteps}`;
  expect([...image.errors, ...guestViolations(image, intact), ...image.allLeaks()], where).toEqual([]);
  if (sameBitmaps(image.bitmaps, after.bitmaps)) return;
  expect(
    image.bitmaps.map(({ name }) => name),
    where,
  ).toEqual(after.bitmaps.map(({ name }) => name));
  expect(
    image.bitmaps.every(({ flags }) => flags.includes('in-use')),
    where,
  ).toBe(true);
}

async function survives(
  recipe: Recipe,
  breakIt: (image: EditedImage) => void,
  random: Random,
): Promise<void> {
  const path = await buildImage(await scratchFolder(), recipe);
  const intact = examineOpenable(await readFile(path));
  const broken = new EditedImage(Buffer.from(intact.bytes));
  breakIt(broken);
  const before = opened(broken.bytes);
  expect(await disagreements(broken.bytes, before, { path, encrypted: false }), 'before').toEqual([]);

  const { plan } = await planRepair(broken.bytes);
  if (plan === undefined) throw new Error('there is nothing to repair');
  const after = examineOpenable(carriedOut(broken.bytes, plan));
  const repair = { intact, before, after, plan };
  tally.plans++;
  const forQemu = new Sample<PowerCutState>(statesForQemu, random);
  const again = new Sample<PowerCutState>(statesToRepairAgain, random);
  for (const state of powerCutStates(broken.bytes, plan, random, 8)) {
    tally.states++;
    expect(violationsOf(state, repair), `behind step ${state.doneSteps}`).toEqual([]);
    forQemu.offer(state);
    again.offer(state);
  }
  for (const state of again.items) await repairAgain(state, repair);
  for (const { bytes } of [...forQemu.items, { bytes: after.bytes }]) {
    tally.seenByQemu++;
    expect(await disagreements(bytes, opened(bytes), { path, encrypted: false })).toEqual([]);
  }
}

describe.each(layouts)('a power cut during the repair of an image %s', (_, recipe) => {
  afterAll(() => printTally('repairs of directories'));

  it.each(breakages)('%s', async (_, breakIt) => {
    const { seed, again } = randomCases(1)[0]!;
    try {
      await survives(recipe, breakIt, seededRandom(seed));
    } catch (error) {
      if (error instanceof Error) error.message += `\n\nTo repeat: ${again}`;
      throw error;
    }
  });
});
