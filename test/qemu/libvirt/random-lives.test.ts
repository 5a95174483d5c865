/**
 * Machines with random events between backups that break checkpoints. After each repair libvirt accepts every checkpoint, and
 * in the end the changes since each of them restore the disks.
 */
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { crashOn } from '../../support/crash.ts';
import { qemuBitmaps, qemuImg } from '../../support/qemu.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';
import { type Guest, newGuest } from './guest.ts';
import { tool } from './images.ts';
import { of, repair } from './judged.ts';
import { chainOf } from './machine.ts';
import { newVirsh, type Virsh } from './virsh.ts';

let virsh: Virsh;

beforeAll(async () => {
  virsh = await newVirsh(await makeTemporaryFolder());
});

afterAll(() => virsh?.close());

/** Events of a machine that is off. Images below the active one are not written, because that cannot be repaired. */
const MISHAPS: Readonly<Record<string, (guest: Guest, random: Random) => Promise<void>>> = {
  async 'an overlay by hand'(guest) {
    await guest.extend('qemu-img');
  },
  async 'an overlay by libvirt'(guest) {
    await guest.extend('libvirt');
  },
  async 'a crash of a running guest'(guest) {
    await guest.machine.start();
    await guest.write();
    await guest.machine.crash();
  },
  async 'a crash of a tool'(guest) {
    for (const image of guest.images) await crashOn(image);
  },
  async 'an overlay by hand, naively repaired'(guest, random) {
    await guest.extend('qemu-img');
    for (const image of guest.images) await qemuImg('bitmap', '--add', image, random.pick(guest.checkpoints));
  },
  async 'a bitmap disabled somewhere'(guest, random) {
    await withSomeBitmap(guest, random, (image, name) => qemuImg('bitmap', '--disable', image, name));
  },
  async 'a bitmap removed above the image in which its checkpoint begins'(guest, random) {
    await withSomeBitmap(guest, random, async (image, name, below) => {
      if (below.includes(name)) await qemuImg('bitmap', '--remove', image, name);
    });
  },
  async 'bitmaps dropped by a tool that knows none, and their clusters freed'(guest, random) {
    const image = random.pick(guest.images);
    await qemuImg('amend', '-q', '-o', 'compat=0.10', image);
    await qemuImg('amend', '-q', '-o', 'compat=1.1', image);
    await tool('repair', '--directory', image);
  },
  async 'guest writes, whatever the state of the bitmaps'(guest) {
    await guest.machine.start();
    await guest.write();
    await guest.machine.stop();
  },
};

/** Of a consistent bitmap: QEMU lets no other be changed. */
async function withSomeBitmap(
  guest: Guest,
  random: Random,
  work: (image: string, name: string, below: readonly string[]) => Promise<unknown>,
): Promise<void> {
  const chain = await chainOf(random.pick(guest.images));
  const layer = random.below(chain.length);
  const names = async (image: string) =>
    (await qemuBitmaps(image)).filter(({ flags }) => !flags.includes('in-use')).map(({ name }) => name);
  const own = await names(chain[layer]!);
  const below = (await Promise.all(chain.slice(layer + 1).map(names))).flat();
  if (own.length > 0) await work(chain[layer]!, random.pick(own), below);
}

const AUTOCLEAR_LOW_BYTE = 95;

/** Clears autoclear bit 0, as software does that knows no bitmaps and writes; QEMU would drop them now. */
async function outdate(image: string): Promise<void> {
  const file = await open(image, 'r+');
  await file.write(Uint8Array.of(0), 0, 1, AUTOCLEAR_LOW_BYTE);
  await file.close();
}

test.each(randomCases(2))('every checkpoint stays valid in a random life ($again)', async ({ seed }) => {
  const random = seededRandom(seed);
  const guest = await newGuest(virsh, random.chance(0.5) ? ['vda'] : ['vda', 'vdb'], random);
  const folder = join(guest.folder, 'checkpoints');
  await mkdir(folder);
  const happened: string[] = [];
  try {
    await guest.machine.start();
    for (let age = 0; age < 3; age++) {
      const checkpoint = `c${age}`;
      await guest.backUp(checkpoint);
      const dump = await guest.machine.dumpCheckpoint(checkpoint);
      await writeFile(join(folder, `${checkpoint}.xml`), dump);
      await guest.write();
      await guest.machine.stop();
      await guest.machine.forgetCheckpoints();
      happened.push(`checkpoint ${checkpoint}`);
      for (let count = random.between(1, 3); count > 0; count--) {
        const [mishap, happen] = random.pick(Object.entries(MISHAPS));
        happened.push(mishap);
        await happen(guest, random);
      }
      if (random.chance(0.3)) {
        happened.push('bitmaps outdated by a tool that knows none');
        await outdate(random.pick(guest.images));
      }
      happened.push('repair');
      await repair(guest, '--checkpoints', folder, '--rebuild-origin', '--enable-disabled');
      await guest.write();
    }
    expect(await guest.restores()).toEqual(of(guest, true));
  } catch (error) {
    if (error instanceof Error) error.message += `\n\nWhat happened:\n${happened.join('\n')}`;
    throw error;
  }
});
