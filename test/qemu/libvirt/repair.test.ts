/**
 * libvirt refuses checkpoints before the repair and accepts them after it. The next incremental backup over the full one is
 * equal to the disk.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';
import { type Guest, newGuest } from './guest.ts';
import { check, expectBroken, of, repair } from './judged.ts';
import { newVirsh, type Virsh } from './virsh.ts';

const [{ seed, again } = { seed: 0, again: '' }] = randomCases(1);
let virsh: Virsh;

beforeAll(async () => {
  virsh = await newVirsh(await makeTemporaryFolder());
});

afterAll(() => virsh?.close());

interface Story {
  targets: string[];
  checkpoints: string[];
  overlays: number;
  by: 'qemu-img' | 'libvirt';
}

const STORIES: Story[] = [
  { targets: ['vda'], checkpoints: ['c1'], overlays: 1, by: 'qemu-img' },
  { targets: ['vda'], checkpoints: ['c1', 'c2'], overlays: 2, by: 'qemu-img' },
  { targets: ['vda', 'vdb'], checkpoints: ['c1', 'c2'], overlays: 3, by: 'qemu-img' },
  { targets: ['vda'], checkpoints: ['1525889631'], overlays: 4, by: 'qemu-img' },
  {
    targets: ['vda', 'vdb'],
    checkpoints: ['virtnbdbackup.0', 'virtnbdbackup.1'],
    overlays: 1,
    by: 'libvirt',
  },
  { targets: ['vda'], checkpoints: ['c1'], overlays: 2, by: 'libvirt' },
];

describe(`after the repair libvirt accepts (${again})`, () => {
  test.each(STORIES.map((story, number) => ({ ...story, number })))(
    '$overlays overlays by $by on $targets, checkpoints $checkpoints',
    async (story) => {
      const guest = await newGuest(virsh, story.targets, seededRandom(seed + story.number));
      await guest.machine.start();
      for (const checkpoint of story.checkpoints) {
        await guest.backUp(checkpoint);
        await guest.write();
      }
      await guest.machine.stop();
      await guest.machine.forgetCheckpoints();
      for (let number = 1; number <= story.overlays; number++) await guest.extend(story.by);
      await expectBroken(guest);

      await repair(guest);
      await guest.write();
      expect(await guest.restores()).toEqual(of(guest, true));
    },
  );

  test('a chain after a crash with bitmaps of the origin in use', async () => {
    const guest = await newGuest(virsh, ['vda', 'vdb'], seededRandom(seed + 100));
    await guest.machine.start();
    await guest.backUp('c1');
    await guest.write();
    await guest.machine.stop();
    await guest.machine.start();
    await guest.write();
    await guest.machine.crash();
    await guest.machine.forgetCheckpoints();
    await expectBroken(guest);

    expect(await bitmapTool('repair', '--name', 'c1', ...guest.images)).toMatchObject({ exitCode: 4 });
    await repair(guest, '--name', 'c1', '--rebuild-origin');
    await guest.write();
    expect(await guest.restores()).toEqual(of(guest, true));
  });

  test('a chain with an overlay that was added by hand after a crash', async () => {
    const guest = await newGuest(virsh, ['vda'], seededRandom(seed + 101));
    await guest.machine.start();
    await guest.backUp('c1');
    await guest.machine.stop();
    await guest.machine.start();
    await guest.write();
    await guest.machine.crash();
    await guest.machine.forgetCheckpoints();
    await guest.extend('qemu-img');
    await expectBroken(guest);
    await repair(guest, '--name', 'c1', '--rebuild-origin');
    await guest.write();
    expect(await guest.restores()).toEqual(of(guest, true));
  });

  test('a chain with a crash after an overlay was added and repaired, without consent', async () => {
    const guest = await newGuest(virsh, ['vda'], seededRandom(seed + 103));
    await guest.machine.start();
    await guest.backUp('c1');
    await guest.write();
    await guest.machine.stop();
    await guest.machine.forgetCheckpoints();
    await guest.extend('qemu-img');
    await repair(guest);
    await guest.write();
    await guest.machine.crash();
    await guest.machine.forgetCheckpoints();
    await expectBroken(guest);
    await repair(guest, '--name', 'c1');
    await guest.write();
    expect(await guest.restores()).toEqual(of(guest, true));
  });
});

test(`a repaired chain stays valid through writes, snapshots, commits and new checkpoints (${again})`, async () => {
  const guest = await newGuest(virsh, ['vda', 'vdb'], seededRandom(seed + 300));
  await guest.machine.start();
  await guest.backUp('c1');
  await guest.write();
  await guest.machine.stop();
  await guest.machine.forgetCheckpoints();
  for (const _ of [1, 2]) await guest.extend('qemu-img');
  await repair(guest);
  await guest.write();
  await guest.backUp('c2');
  await guest.write();

  // libvirt takes snapshots and commits only where it knows no checkpoints.
  await guest.machine.forgetCheckpoints();
  await guest.machine.snapshot('snapshot');
  expect(await guest.verdicts()).toEqual(of(guest, 'valid'));
  await guest.write();
  await guest.backUp('c3');
  await guest.write();
  await guest.machine.forgetCheckpoints();
  for (const target of guest.targets) {
    await guest.machine.commitLower(target);
    await guest.machine.commitActive(target);
  }
  expect(await guest.verdicts()).toEqual(of(guest, 'valid'));
  await guest.write();
  expect(await guest.restores()).toEqual(of(guest, true));
  const { exitCode, checkpoints } = await check(guest);
  expect(checkpoints.filter(({ valid }) => !valid)).toEqual([]);
  expect(exitCode).toBe(0);
});

describe(`an empty bitmap that is added by hand (${again})`, () => {
  async function naivelyRepaired(seedOffset: number): Promise<Guest> {
    const guest = await newGuest(virsh, ['vda'], seededRandom(seed + seedOffset));
    await guest.machine.start();
    await guest.backUp('c1');
    await guest.write();
    await guest.machine.stop();
    await guest.machine.forgetCheckpoints();
    await guest.extend('qemu-img');
    await qemuIo(guest.images[0]!, 'write -P 170 40M 64k');
    await qemuImg('bitmap', '--add', guest.images[0]!, 'c1');
    return guest;
  }

  test('is accepted by libvirt and loses data', async () => {
    const guest = await naivelyRepaired(200);
    await guest.machine.start();
    expect(await guest.verdicts()).toEqual({ c1: 'valid' });
    expect(await guest.restores()).toEqual({ c1: false });
  });

  test('is reported by check and corrected by repair', async () => {
    const guest = await naivelyRepaired(200);
    const { exitCode, checkpoints } = await check(guest);
    expect(exitCode).toBe(3);
    expect(checkpoints).toMatchObject([{ libvirt: 'accepts', valid: false }]);
    await repair(guest);
    await guest.write();
    expect(await guest.restores()).toEqual({ c1: true });
  });
});
