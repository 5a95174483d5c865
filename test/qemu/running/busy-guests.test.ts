/** Guests that migrate or have failed storage are refused without waiting and without a change. */
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { bootSector } from '../../support/boot-sector.ts';
import { qemuIo } from '../../support/qemu.ts';
import { brokenChain, expectExact } from '../../support/running-chain.ts';
import { leftIn, qcow2Nodes, type RunningQemu, startQemu } from '../../support/running-qemu.ts';

const MACHINE = ['-machine', 'pc', '-accel', 'tcg', '-m', '32'];

async function statusOf({ qmp }: RunningQemu): Promise<string> {
  return (await qmp.execute<{ status: string }>('query-status')).status;
}

async function expectRefused(qemu: RunningQemu, image: string, state: string): Promise<void> {
  for (const command of [['repair'], ['create-from', '--allocated'], ['check']]) {
    const [verb, ...options] = command as [string, ...string[]];
    const { exitCode, error } = await bitmapTool(verb, '--json', ...options, '--qmp', qemu.socket, image);
    expect({ verb, exitCode, message: error?.message }).toEqual({
      verb,
      exitCode: 5,
      message: `${qemu.socket}: the guest ${state}; nothing was changed`,
    });
  }
  expect(await qemu.bitmaps('top')).toEqual({});
  expect(await leftIn(qemu)).toEqual([]);
}

it('refuses a guest that migrates, and repairs it after the migration is cancelled', async () => {
  const { top, folder } = await brokenChain();
  const qemu = await startQemu(qcow2Nodes('top', top), 'qemu-system-x86_64', [...MACHINE, '-S']);
  const destination = join(folder, 'migration.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(destination, resolve));
  onTestFinished(() => void server.close());
  await qemu.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 1 });
  await qemu.qmp.execute('migrate', { uri: `unix:${destination}` });
  await expectRefused(qemu, top, 'is being migrated');
  await qemu.qmp.execute('migrate_cancel');
  const migration = () => qemu.qmp.execute<{ status: string }>('query-migrate');
  while ((await migration()).status !== 'cancelled') await sleep(5);
  await bitmapToolJson('repair', '--qmp', qemu.socket, top);
  await expectExact(qemu, top, 'c1');
});

/** Writes a sector of the first disk through the BIOS, then halts. */
const WRITE_ONCE = [
  [0x31, 0xc0], // xor ax, ax
  [0x8e, 0xc0], // mov es, ax
  [0xbb, 0x00, 0x7c], // mov bx, 0x7c00: the buffer at es:bx
  [0xb8, 0x01, 0x03], // mov ax, 0x0301: write one sector
  [0xb9, 0x02, 0x00], // mov cx, 2: sector 2 of cylinder 0
  [0xba, 0x80, 0x00], // mov dx, 0x80: head 0 of the first disk
  [0xcd, 0x13], // int 0x13
  [0xf4], // hlt
  [0xeb, 0xfd], // jmp to hlt
].flat();

it('refuses a guest that is paused for an I/O error', async () => {
  const { top, folder } = await brokenChain();
  const boot = join(folder, 'boot-sector');
  await writeFile(boot, bootSector(WRITE_ONCE));
  await qemuIo(top, `write -q -s ${boot} 0 512`);
  const fault = { event: 'none', iotype: 'write', errno: 28 };
  const faulty = { driver: 'blkdebug', 'node-name': 'faulty', image: 'top', 'inject-error': [fault] };
  const device = ['-device', 'ide-hd,drive=faulty,werror=stop'];
  const nodes = [...qcow2Nodes('top', top), faulty];
  const qemu = await startQemu(nodes, 'qemu-system-x86_64', [...MACHINE, ...device]);
  while ((await statusOf(qemu)) !== 'io-error') await sleep(20);
  await expectRefused(qemu, top, 'is paused for an I/O error');
  expect(await statusOf(qemu)).toBe('io-error');
});
