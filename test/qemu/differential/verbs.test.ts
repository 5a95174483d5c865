/**
 * The verbs and `qemu-img bitmap` in random sequences on copies of an image leave the same bitmaps, as QEMU lists and reads
 * them. A failed call changes no byte.
 */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { digest } from '../../support/file-state.ts';
import { type BitmapInfo, qemuBitmaps, qemuImg, qemuIo } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { randomWrites, writeCommands } from '../../support/random-writes.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { expectNoErrors } from './expectations.ts';

const STEPS_PER_CASE = 8;
const NAMES = ['a', 'b c', 'é%', '-x', '#', 'Prüfpunkt 🙂'];
const VERBS = ['add', 'add', 'remove', 'clear', 'enable', 'disable', 'merge', 'merge'] as const;
type Verb = (typeof VERBS)[number];

interface Edit {
  verb: Verb;
  /** Of merge the target first, then the sources. */
  names: string[];
  granularity?: number;
  disabled?: boolean;
  /** The image that has the sources of a merge. */
  from?: string;
}

interface Twins {
  ours: string;
  theirs: string;
  other: string;
  disk: { virtualSize: number; clusterSize: number };
}

describe('verbs in a random sequence', () => {
  for (const { seed, again } of randomCases(4)) {
    test(`have the result of qemu-img bitmap for each name (${again})`, async () => {
      const random = seededRandom(seed);
      const twins = await makeTwins(random);
      const history: string[] = [JSON.stringify(twins.disk)];
      for (let step = 0; step < STEPS_PER_CASE; step++) {
        const present = await qemuBitmaps(twins.theirs);
        const edit = randomEdit(random, twins, present);
        history.push(JSON.stringify(edit));
        if (isPossible(edit, present, await qemuBitmaps(edit.from ?? twins.theirs))) {
          await expectSameEffect(twins, edit, history.join('\n'));
        } else {
          await expectRefusal(twins, edit, history.join('\n'));
        }
        if (random.chance(0.4)) await writeBoth(random, twins);
      }
      await expectSameContents(twins, history.join('\n'));
    });
  }
});

async function makeTwins(random: Random): Promise<Twins> {
  const folder = await scratchFolder();
  const path = (name: string) => join(folder, name);
  const twins = { ours: path('ours.qcow2'), theirs: path('theirs.qcow2'), other: path('other.qcow2') };
  const clusterSize = random.pick([512, 4096, 65536, 65536, 2 << 20]);
  const virtualSize = random.between(1, 16384) * 512;
  for (const image of [twins.ours, twins.other]) {
    const options = `cluster_size=${clusterSize}`;
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, image, `${virtualSize}`);
    await qemuImg('bitmap', '--add', '-g', random.pick(['512', '16k', '64k']), image, NAMES[0]!);
    await qemuImg('bitmap', '--add', '-g', random.pick(['1k', '1M', '2G']), image, NAMES[1]!);
    const disk = { virtualSize, clusterSize };
    await qemuIo(image, ...writeCommands(randomWrites(random, disk, ['data', 'zero'], 4)));
  }
  await copyFile(twins.ours, twins.theirs);
  return { ...twins, disk: { virtualSize, clusterSize } };
}

function randomEdit(random: Random, { other }: Twins, present: readonly BitmapInfo[]): Edit {
  const verb = random.pick(VERBS);
  const there = present.map(({ name }) => name);
  const absent = NAMES.filter((name) => !there.includes(name));
  // Mostly what can be done: the names of one call are all of one kind.
  const usual = verb === 'add' ? absent : there;
  const pool = usual.length > 0 && random.chance(0.85) ? usual : NAMES;
  const count = random.between(verb === 'merge' ? 2 : 1, 3);
  const names = Array.from({ length: count }, () => random.pick(pool));
  if (verb === 'add') {
    const granularity = random.chance(0.2) ? undefined : 2 ** random.between(9, 31);
    return { verb, names, disabled: random.chance(0.3), ...(granularity && { granularity }) };
  }
  return verb === 'merge' && random.chance(0.3) ? { verb, names, from: other } : { verb, names };
}

function isPossible({ verb, names }: Edit, present: BitmapInfo[], sources: BitmapInfo[]): boolean {
  const has = (bitmaps: BitmapInfo[]) => (wanted: string) => bitmaps.some(({ name }) => name === wanted);
  if (verb === 'add') return !names.some(has(present));
  if (verb === 'merge') return has(present)(names[0]!) && names.slice(1).every(has(sources));
  return names.every(has(present));
}

function ownArguments({ verb, names, granularity, disabled, from }: Edit, image: string): string[] {
  const options = [
    ...(granularity === undefined ? [] : ['-g', `${granularity}`]),
    ...(disabled ? ['--disabled'] : []),
    ...(from === undefined ? [] : ['--from', from]),
  ];
  return [verb, ...options, '--json', '--', image, ...names];
}

/** The calls of qemu-img that do the same; it needs one for each name. */
function peerCalls({ verb, names, granularity, disabled, from }: Edit, image: string): string[][] {
  const distinct = [...new Set(names)];
  switch (verb) {
    case 'add':
      return distinct.map((name) => [
        '--add',
        ...(granularity === undefined ? [] : ['-g', `${granularity}`]),
        ...(disabled ? ['--disable'] : []),
        '--',
        image,
        name,
      ]);
    case 'merge': {
      const [target, ...sources] = names;
      const source = from === undefined ? [] : ['-b', from, '-F', 'qcow2'];
      return sources.map((name) => [`--merge=${name}`, ...source, '--', image, target!]);
    }
    default:
      return distinct.map((name) => [`--${verb}`, '--', image, name]);
  }
}

async function expectSameEffect({ ours, theirs }: Twins, edit: Edit, context: string): Promise<void> {
  const { exitCode, stderr, json } = await bitmapTool(...ownArguments(edit, ours));
  expect({ exitCode, stderr }, context).toEqual({ exitCode: 0, stderr: '' });
  const changed = edit.verb === 'merge' ? [edit.names[0]] : [...new Set(edit.names)];
  expect(json, context).toMatchObject({ schema: 1, image: ours, bitmaps: changed, dryRun: false });
  for (const call of peerCalls(edit, theirs)) await qemuImg('bitmap', ...call);
  expect(await qemuBitmaps(ours), context).toEqual(await qemuBitmaps(theirs));
}

async function expectRefusal({ ours }: Twins, edit: Edit, context: string): Promise<void> {
  const before = await digest(ours);
  const { exitCode, stdout, error } = await bitmapTool(...ownArguments(edit, ours));
  expect({ exitCode, stdout }, context).toEqual({ exitCode: 4, stdout: '' });
  expect(error?.code, context).toBe(edit.verb === 'add' ? 'BITMAP_EXISTS' : 'BITMAP_NOT_FOUND');
  expect(await digest(ours), context).toBe(before);
}

/** The guest runs for a while: what QEMU records into our bitmaps is compared at the end. */
async function writeBoth(random: Random, { ours, theirs, disk }: Twins): Promise<void> {
  const commands = writeCommands(randomWrites(random, disk, ['data', 'zero', 'unmap'], 3));
  for (const image of [ours, theirs]) await qemuIo(image, ...commands);
}

async function expectSameContents({ ours, theirs }: Pick<Twins, 'ours' | 'theirs'>, context: string) {
  expect(await qemuBitmaps(ours), context).toEqual(await qemuBitmaps(theirs));
  for (const { name } of await qemuBitmaps(theirs)) {
    expect(await dirtyExtents(ours, name), `${name}\n${context}`).toEqual(await dirtyExtents(theirs, name));
  }
  await expectNoErrors(ours, context);
}
