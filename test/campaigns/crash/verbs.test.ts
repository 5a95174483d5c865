/**
 * Power cuts during the verbs, on several header layouts. The final result is that of `qemu-img bitmap` on a copy of the
 * image.
 */
import { copyFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  addBitmaps,
  applyBitmapActions,
  clearBitmaps,
  createCheckpoint,
  createFrom,
  disableBitmaps,
  enableBitmaps,
  mergeBitmaps,
  removeBitmaps,
} from '../../../src/index.ts';
import { qemuImg } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';
import { examineOpenable, type StoredBitmap } from './checker/examine.ts';
import { tryPlan } from './plan-trial.ts';
import { carriedOut } from './power-cut-states.ts';
import { recordWrites } from './recorded-writes.ts';
import { disagreements } from './second-opinion.ts';
import { buildImage, type Recipe } from './shapes/build.ts';
import {
  bitmapsExtensionTwice,
  inTurn,
  payloadAtInSector,
  setUnknownAutoclearBits,
  unknownExtensionLast,
} from './shapes/edits.ts';
import { printTally, tally } from './tally.ts';

vi.mock('node:fs', async (importOriginal) => {
  const { recordingFs } = await import('./recorded-writes.ts');
  return recordingFs(importOriginal);
});

interface Verb {
  name: string;
  run: (image: string) => Promise<unknown>;
  /** The same in the words of `qemu-img bitmap`, one call a line; the image's name goes before the last word. */
  qemu: string[];
}

const verbs: Verb[] = [
  {
    name: 'add',
    run: (image) => addBitmaps(image, ['n1', 'n2'], { granularity: 4096 }),
    qemu: ['--add -g 4096 n1', '--add -g 4096 n2'],
  },
  {
    name: 'checkpoint-create',
    run: (image) => createCheckpoint('n1', [image], { disks: ['vda'], granularity: 4096 }),
    qemu: ['--add -g 4096 n1'],
  },
  {
    name: 'remove',
    run: (image) => removeBitmaps(image, ['first', 'third']),
    qemu: ['--remove first', '--remove third'],
  },
  {
    name: 'remove all',
    run: (image) => removeBitmaps(image, ['first', 'second', 'third']),
    qemu: ['--remove first', '--remove second', '--remove third'],
  },
  {
    name: 'clear',
    run: (image) => clearBitmaps(image, ['first', 'second']),
    qemu: ['--clear first', '--clear second'],
  },
  { name: 'enable', run: (image) => enableBitmaps(image, ['third']), qemu: ['--enable third'] },
  {
    name: 'disable',
    run: (image) => disableBitmaps(image, ['first', 'second']),
    qemu: ['--disable first', '--disable second'],
  },
  {
    name: 'merge',
    run: (image) => mergeBitmaps(image, 'second', { names: ['first', 'third'] }),
    qemu: ['--merge first --merge third second'],
  },
  {
    name: 'bitmap',
    run: (image) =>
      applyBitmapActions(
        image,
        'new',
        [{ kind: 'add' }, { kind: 'merge', source: 'first' }, { kind: 'disable' }],
        { granularity: 512 },
      ),
    qemu: ['--add --merge first --disable -g 512 new'],
  },
  {
    name: 'create-from --if-exists merge',
    run: (image) =>
      createFrom(image, { kind: 'bitmap', names: ['first'] }, { names: ['second'], ifExists: 'merge' }),
    qemu: ['--merge first second'],
  },
  {
    name: 'create-from --if-exists replace',
    run: (image) =>
      createFrom(
        image,
        { kind: 'bitmap', names: ['second'] },
        { names: ['first'], granularity: 65536, ifExists: 'replace' },
      ),
    qemu: ['--clear --merge second first'],
  },
];

const recipe: Recipe = {
  io: ['write -P 3 0 64k'],
  bitmaps: [
    ['first', 65536],
    ['second', 4096],
    ['third', 512],
  ],
  dirty: ['write -P 1 64k 128k', 'write -P 2 512k 64k', 'write -P 2 1000k 24k'],
  disabled: ['third'],
};

const headers: { header: string; recipe: Recipe }[] = [
  { header: 'a backing file', recipe: { ...recipe, backing: 'base.qcow2' } },
  { header: 'clusters of 512', recipe: { ...recipe, clusterSize: 512, backing: 'base.qcow2' } },
  { header: 'a payload in two sectors', recipe: { ...recipe, edit: payloadAtInSector(496) } },
  {
    header: 'a payload in two sectors that is not last',
    recipe: { ...recipe, edit: inTurn(payloadAtInSector(504), unknownExtensionLast(20)) },
  },
  { header: 'the extension twice', recipe: { ...recipe, edit: bitmapsExtensionTwice } },
  { header: 'unknown autoclear bits', recipe: { ...recipe, edit: setUnknownAutoclearBits } },
];

describe.each(headers)('a power cut leaves the old or the new bitmaps: $header', ({ recipe }) => {
  let folder: string;
  let original: string;
  beforeAll(async () => {
    folder = await makeTemporaryFolder();
    original = await buildImage(folder, recipe);
  });
  afterAll(async () => {
    printTally('verbs so far');
    await rm(folder, { recursive: true, force: true });
  });

  it.each(verbs)('$name', async ({ run, qemu }) => {
    const { seed, again } = randomCases(1)[0]!;
    const [path, twin] = [join(folder, 'ours.qcow2'), join(folder, 'twin.qcow2')];
    await copyFile(original, path);
    await copyFile(original, twin);
    for (const call of qemu) {
      const words = call.split(' ');
      await qemuImg('bitmap', ...words.slice(0, -1), twin, words.at(-1)!);
    }

    const before = examineOpenable(await readFile(path));
    const steps = await recordWrites(() => run(path));
    const after = examineOpenable(await readFile(path));
    expect([...after.errors, ...after.allLeaks()]).toEqual([]);
    expect(byName(after.bitmaps)).toEqual(byName(examineOpenable(await readFile(twin)).bitmaps));
    expect(Buffer.compare(carriedOut(before.bytes, { steps }), after.bytes), 'all was recorded').toBe(0);

    const plan = { steps, commitIndex: steps.length - 1 };
    const trial = tryPlan(before, plan, after.bitmaps, { random: seededRandom(seed), randomSubsets: 8 });
    expect(trial.violations.join('\n'), again).toBe('');
    tally.plans++;
    tally.states += trial.stateCount;
    for (const { state, image } of [trial.headerStates[0]!, trial.headerStates.at(-1)!]) {
      tally.seenByQemu++;
      expect(await disagreements(state.bytes, image, { path, encrypted: false })).toEqual([]);
    }
  });
});

function byName(bitmaps: readonly StoredBitmap[]): StoredBitmap[] {
  return [...bitmaps].sort((a, b) => (a.name < b.name ? -1 : 1));
}
