/** A cut after the first bitmaps extension is shown and before its autoclear bit is set, and the next command after it. */
import { readFile, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { createFrom } from '../../../src/index.ts';
import { qemuImg } from '../../support/qemu.ts';
import { seededRandom } from '../../support/random.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { planChange } from './bitmap-plan.ts';
import { examineOpenable } from './checker/examine.ts';
import { tryPlan } from './plan-trial.ts';
import { buildImage } from './shapes/build.ts';

it('refuses new bitmaps until a repair has dropped the hidden ones', async () => {
  const path = await buildImage(await scratchFolder(), { io: ['write -P 3 0 64k'], backing: 'base.qcow2' });
  const original = examineOpenable(await readFile(path));
  const { plan, wanted } = await planChange(original.bytes, [], {
    store: [{ name: 'new', granularity: 65536, marks: 'allocated' }],
  });
  const options = { random: seededRandom(1), randomSubsets: 0 };
  const { headerStates } = tryPlan(original, plan, wanted, options);
  const hidden = headerStates.filter(({ image }) => image.header.hasIgnoredBitmaps);
  expect(hidden).not.toHaveLength(0);

  for (const { state } of hidden) {
    await writeFile(path, state.bytes);
    const create = () => createFrom(path, { kind: 'allocated' }, { names: ['new'], granularity: 65536 });
    await expect(create()).rejects.toMatchObject({
      code: 'BITMAP_INCONSISTENT',
      remedy: { kind: 'keep-outdated-names', file: path },
    });
    await qemuImg('check', '-q', '-r', 'leaks', path);
    await create();
    const image = examineOpenable(await readFile(path));
    expect(image.bitmaps).toEqual(wanted);
    expect([...image.errors, ...image.allLeaks()]).toEqual([]);
  }
});
