/**
 * Many programs on one image at once. Each succeeds or reports that the image is in use, and no reported change is lost.
 *
 * BITMAP_TOOL_ROUNDS sets how long it goes on.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { type Extent, isSubset } from '../../support/extents.ts';
import { tryProgram } from '../../support/external-program.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { scratchFolder } from '../../support/scratch.ts';

const ROUNDS = Number(process.env['BITMAP_TOOL_ROUNDS'] || 7);
const ACTORS = 7;
const JITTER_MS = 400;
const WRITE_BYTES = 65536;
const IN_USE = 5;

interface Write extends Extent {
  readonly pattern: number;
  readonly round: number;
}

/** What was reported done. */
interface Ledger {
  readonly image: string;
  /** Round in which each bitmap that must be there was made. */
  readonly bitmaps: Map<string, number>;
  readonly writes: Write[];
  readonly said: { done: number; refused: number };
}

type Actor = (ledger: Ledger, round: number, id: string, number: number) => Promise<void>;

/** @returns whether it was done; anything but that and "in use" is a fault */
async function ours(ledger: Ledger, ...args: string[]): Promise<boolean> {
  const { exitCode, stderr } = await bitmapTool(...args);
  if (exitCode !== 0) expect({ args, exitCode, stderr }).toMatchObject({ exitCode: IN_USE });
  return tell(ledger, exitCode === 0);
}

/**
 * QEMU learns the length of a file before it has its locks: where another program, QEMU or not, makes the file longer in
 * between, it reads zeros for what is new, calls the image broken, and opens it the next time.
 */
async function qemus(ledger: Ledger, program: 'qemu-img' | 'qemu-io', ...args: string[]): Promise<boolean> {
  const { exitCode, stdout, stderr } = await tryProgram(program, args);
  if (exitCode !== 0)
    expect(`${stdout}${stderr}`).toMatch(/Failed to get .*lock|can't open device|Could not open/);
  return tell(ledger, exitCode === 0);
}

function tell({ said }: Ledger, isDone: boolean): boolean {
  if (isDone) said.done++;
  else said.refused++;
  return isDone;
}

const ACTS: readonly Actor[] = [
  async (ledger, round, id) => {
    if (await ours(ledger, 'add', ledger.image, id)) ledger.bitmaps.set(id, round);
  },
  async (ledger, round, id) => {
    const made = await ours(ledger, 'create-from', '--allocated', '-n', id, '-g', '4k', ledger.image);
    if (made) ledger.bitmaps.set(id, round);
  },
  async (ledger, round, id) => {
    const args = ['--add', '--merge', '#ALLOCATED', ledger.image, id];
    const { exitCode, stderr } = await bitmapTool('bitmap', ...args);
    // The drop-in has the exit codes of qemu-img.
    if (exitCode !== 0) expect(stderr).toMatch(/in use/);
    if (tell(ledger, exitCode === 0)) ledger.bitmaps.set(id, round);
  },
  async (ledger, round, id) => {
    if (await qemus(ledger, 'qemu-img', 'bitmap', '--add', ledger.image, id)) ledger.bitmaps.set(id, round);
  },
  async (ledger, round, _id, number) => {
    const write = { start: number * WRITE_BYTES, length: WRITE_BYTES, pattern: (number % 255) + 1, round };
    const command = `write -P ${write.pattern} ${write.start} ${write.length}`;
    if (await qemus(ledger, 'qemu-io', '-c', command, ledger.image)) ledger.writes.push(write);
  },
  async (ledger) => void (await ours(ledger, 'list', ledger.image)),
  async (ledger) => void (await ours(ledger, 'map', ledger.image)),
  async (ledger) => void (await qemus(ledger, 'qemu-img', 'map', ledger.image)),
];

/** Removes one that an earlier round has made; each name is taken by one actor only. */
function remover(name: string, withQemu: boolean): Actor {
  return async (ledger) => {
    const removed = withQemu
      ? await qemus(ledger, 'qemu-img', 'bitmap', '--remove', ledger.image, name)
      : await ours(ledger, 'remove', ledger.image, name);
    if (removed) ledger.bitmaps.delete(name);
  };
}

test('each of many concurrent programs is served or refused, and no change is lost', async () => {
  const { seed, again } = randomCases(1)[0]!;
  const random = seededRandom(seed);
  const image = join(await scratchFolder(), 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '64M');
  const ledger: Ledger = { image, bitmaps: new Map(), writes: [], said: { done: 0, refused: 0 } };
  let number = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const removable = [...ledger.bitmaps.keys()];
    const actors = Array.from({ length: ACTORS }, async () => {
      const id = `b${number}`;
      const own = number++;
      const victim =
        random.chance(0.2) && removable.length > 0 ? removable.splice(random.below(removable.length), 1) : [];
      const act = victim.length > 0 ? remover(victim[0]!, random.chance(0.5)) : random.pick(ACTS);
      await sleep(random.below(JITTER_MS));
      await act(ledger, round, id, own);
    });
    await Promise.all(actors);
  }
  console.log(
    `crowd: ${JSON.stringify(ledger.said)}, ${ledger.bitmaps.size} bitmaps, ${ledger.writes.length} writes`,
  );

  expect((await qemuBitmaps(image)).map(({ name }) => name).sort(), again).toEqual(
    [...ledger.bitmaps.keys()].sort(),
  );
  for (const { start, length, pattern } of ledger.writes) {
    expect(await qemuIo(image, `read -P ${pattern} ${start} ${length}`), again).not.toMatch(
      /verification failed/,
    );
  }
  for (const [name, made] of ledger.bitmaps) {
    const marked = (await dirtyExtents(image, name)).filter(({ type }) => type === 1);
    const extents = marked.map(({ offset: start, length }) => ({ start, length }));
    const later = ledger.writes.filter(({ round }) => round > made);
    expect(isSubset(later, extents), `${again}: what was written after "${name}" was made`).toBe(true);
  }
  expect(await qemuCheck(image), again).toMatchObject({ exitCode: 0, corruptions: 0, leaks: 0, errors: 0 });
  // All are gone, and so are their locks.
  expect((await bitmapTool('add', image, 'last')).exitCode).toBe(0);
  expect(ledger.said.done, again).toBeGreaterThan(0);
}, 3600_000);

test('a lock ends with its process, however the process ends', async () => {
  const image = join(await scratchFolder(), 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '64M');
  const library = new URL('../../../dist/index.js', import.meta.url).href;
  const script = `
    const { mapAllocation } = await import(${JSON.stringify(library)});
    for await (const batch of mapAllocation(${JSON.stringify(image)})) {
      console.log('held');
      await new Promise((resolve) => setTimeout(resolve, 600_000));
    }`;
  const holder = execa(process.execPath, ['--input-type=module', '-e', script], { reject: false });
  onTestFinished(() => void holder.kill('SIGKILL'));
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  const refused = await bitmapTool('add', image, 'c1');
  expect(refused.exitCode).toBe(IN_USE);
  expect(refused.stderr).toContain(`pid ${holder.pid}`);
  holder.kill('SIGKILL');
  await holder;
  await bitmapToolJson('add', image, 'c1');
});
