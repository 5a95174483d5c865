/** A guest that really runs, and writes to its disk all the time while bitmap-tool works. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { dumpRunning, openQemu } from '../../../src/index.ts';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { bootSector } from '../../support/boot-sector.ts';
import { qemuBitmaps, qemuImg, qemuIo } from '../../support/qemu.ts';
import { brokenChain, expectExact } from '../../support/running-chain.ts';
import { leftIn, qcow2Nodes, type RunningQemu, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

/** Where the BIOS loads the boot sector, and where in it the disk address packet of int 13h is. */
const [LOADED_AT, PACKET] = [0x7c00, 0x40];

/** Writes a sector, goes on by 97 sectors modulo 32 MiB, and so on without end. */
const WRITE_FOREVER = [
  [0x31, 0xc0], // xor ax, ax
  [0x8e, 0xd8], // mov ds, ax
  [0xbe, PACKET, 0x7c], // loop: mov si, packet
  [0xb8, 0x00, 0x43], // mov ax, 0x4300: extended write
  [0xb2, 0x80], // mov dl, 0x80: the first disk
  [0xcd, 0x13], // int 0x13
  [0x81, 0x06, PACKET + 8, 0x7c, 97, 0x00], // add word [packet + 8], 97
  [0xeb, 0xee], // jmp loop
].flat();

/** Size 16, 1 sector, from the boot sector in memory, to sector 1 at first. */
const DISK_ADDRESS_PACKET = [16, 0, 1, 0, LOADED_AT & 0xff, LOADED_AT >> 8, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

async function writesOf({ qmp }: RunningQemu): Promise<number> {
  const [device] = await qmp.execute<{ stats: { wr_operations: number } }[]>('query-blockstats');
  return device!.stats.wr_operations;
}

async function waitForWrites(qemu: RunningQemu): Promise<void> {
  const before = await writesOf(qemu);
  while ((await writesOf(qemu)) < before + 10) await sleep(5);
}

/** A new active image over `below` that the guest starts from. */
async function bootable(folder: string, below: string): Promise<string> {
  const active = join(folder, 'active.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', below, '-F', 'qcow2', active);
  const sector = bootSector(WRITE_FOREVER);
  sector.set(DISK_ADDRESS_PACKET, PACKET);
  const boot = join(folder, 'boot-sector');
  await writeFile(boot, sector);
  await qemuIo(active, `write -q -s ${boot} 0 512`);
  return active;
}

function chainNodes({ base, top }: { base: string; top: string }, active: string) {
  return [
    ...qcow2Nodes('base', base, { 'read-only': true, backing: null }),
    ...qcow2Nodes('top', top, { 'read-only': true, backing: 'base' }),
    ...qcow2Nodes('active', active, { backing: 'top' }),
  ];
}

const MACHINE = ['-machine', 'pc', '-accel', 'tcg', '-m', '32'];
const IN_MAIN_LOOP = ['-device', 'virtio-blk-pci,drive=active'];
const IN_IO_THREAD = ['-object', 'iothread,id=io', '-device', 'virtio-blk-pci,drive=active,iothread=io'];

it.each([
  ['the main loop', IN_MAIN_LOOP],
  ['an I/O thread', IN_IO_THREAD],
])('repairs the chain of a guest that writes all the time, with its disk in %s', async (_, device) => {
  const chain = await brokenChain();
  const active = await bootable(chain.folder, chain.top);
  const nodes = chainNodes(chain, active);
  const qemu = await startQemu(nodes, 'qemu-system-x86_64', [...MACHINE, ...device]);
  await waitForWrites(qemu);
  await bitmapToolJson('repair', '--qmp', qemu.socket, active);
  await waitForWrites(qemu);
  expect(await bitmapTool('check', '--json', '--qmp', qemu.socket, active)).toMatchObject({
    exitCode: 0,
    json: { disks: [{ checkpoints: [{ name: 'c1', valid: true }] }] },
  });
  await qemu.qmp.execute('stop');
  await expectExact(qemu, active, 'c1');
  expect(await qemuBitmaps(chain.top)).toEqual([{ name: 'c1', granularity: 65536, flags: ['auto'] }]);
});

it('repairs two disks in two I/O threads in one transaction', async () => {
  const [first, second] = [await brokenChain(), await brokenChain()];
  const active = await bootable(first.folder, first.top);
  const devices = [
    ...IN_IO_THREAD,
    ...['-object', 'iothread,id=other', '-device', 'virtio-blk-pci,drive=second,iothread=other'],
  ];
  const nodes = [...chainNodes(first, active), ...qcow2Nodes('second', second.top)];
  const qemu = await startQemu(nodes, 'qemu-system-x86_64', [...MACHINE, ...devices]);
  await waitForWrites(qemu);
  await bitmapToolJson('repair', '--qmp', qemu.socket, active, second.top);
  await waitForWrites(qemu);
  await qemu.qmp.execute('stop');
  await expectExact(qemu, active, 'c1');
  expect(await qemuBitmaps(second.top)).toEqual([{ name: 'c1', granularity: 65536, flags: ['auto'] }]);
});

it('leaves a guest with its disk in an I/O thread running when the reading of QEMU is stopped', async () => {
  const folder = await scratchFolder();
  const base = join(folder, 'base.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', base, '8G');
  const active = await bootable(folder, base);
  const qemu = await startQemu(qcow2Nodes('active', active), 'qemu-system-x86_64', [
    ...MACHINE,
    ...IN_IO_THREAD,
  ]);
  await waitForWrites(qemu);
  const tool = await openQemu({ qmp: qemu.socket });
  const abort = new AbortController();
  const reading = dumpRunning(tool, active, '#ALLOCATED', {
    signal: abort.signal,
    onProgress: ({ doneBytes, totalBytes }) => {
      if (doneBytes > 0 && doneBytes < totalBytes) abort.abort(new Error('enough'));
    },
  });
  await expect(reading.finally(() => tool.close())).rejects.toThrow('enough');
  await waitForWrites(qemu);
  expect(await leftIn(qemu)).toEqual([]);
});
