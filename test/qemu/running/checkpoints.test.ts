/** check and repair in a running QEMU. Their results must agree with QEMU's bitmaps and cover its allocation. */
import { expect, it } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { schemaFaults } from '../../support/output-schema.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { startQmpProxy } from '../../support/qmp-proxy.ts';
import { brokenChain, expectExact, HELD_BYTES } from '../../support/running-chain.ts';
import { leftIn, qcow2Nodes, startQemu } from '../../support/running-qemu.ts';

interface Checked {
  disks: {
    checkpoints: { valid: boolean; libvirt: string; dirtyBytes: number | null; bitmaps: object[] }[];
  }[];
}

async function check(socket: string, image: string) {
  const { json } = await bitmapTool('check', '--json', '--qmp', socket, image);
  return (json as Checked).disks[0]!.checkpoints;
}

it('check reports the bitmap that the active image lacks, and repair adds it while the guest writes', async () => {
  const { top } = await brokenChain();
  const qemu = await startQemu(qcow2Nodes('top', top));
  expect(await check(qemu.socket, top)).toMatchObject([{ valid: false, libvirt: 'refuses' }]);
  const proxy = await startQmpProxy(
    qemu.socket,
    async (_, number) => qemu.write('top', `write -q -P 7 ${20 + number}M 64k`),
    async (_, number) => qemu.write('top', `write -q -P 8 ${20 + number}.5M 64k`),
  );
  await bitmapToolJson('repair', '--qmp', proxy.socket, top);
  expect(await check(qemu.socket, top)).toMatchObject([{ valid: true, libvirt: 'accepts' }]);
  const list = await bitmapToolJson<object>('list', '--qmp', qemu.socket, top);
  expect(schemaFaults('list --qmp', list)).toEqual([]);
  const chain = await bitmapToolJson<object>('list', '--chain', '--qmp', qemu.socket, top);
  expect(schemaFaults('list --chain --qmp', chain)).toEqual([]);
  expect(chain).toMatchObject({ layers: [list, { bitmaps: [{ name: 'c1' }] }] });
  expect(list).toMatchObject({
    bitmaps: [{ name: 'c1', flags: ['auto'], running: { persistent: true, busy: false } }],
  });
  await expectExact(qemu, top, 'c1');
});

it('check reports a bitmap that was added too late, and repair adds the missing marks', async () => {
  const { top } = await brokenChain();
  await qemuImg('bitmap', '--add', top, 'c1');
  const qemu = await startQemu(qcow2Nodes('top', top));
  await qemu.write('top', 'write -q -P 9 30M 1M');
  expect(await check(qemu.socket, top)).toMatchObject([
    {
      valid: false,
      libvirt: 'accepts',
      bitmaps: [{ state: 'good', missingBytes: HELD_BYTES }, { state: 'good' }],
    },
  ]);
  await bitmapToolJson('repair', '--qmp', qemu.socket, top);
  expect(await check(qemu.socket, top)).toMatchObject([{ valid: true, dirtyBytes: HELD_BYTES + 2 ** 20 }]);
  await expectExact(qemu, top, 'c1');
});

it('check reports no missing marks while the guest writes', async () => {
  const { top } = await brokenChain();
  const qemu = await startQemu(qcow2Nodes('top', top));
  await bitmapToolJson('repair', '--qmp', qemu.socket, top);
  const proxy = await startQmpProxy(qemu.socket, async (_, number) =>
    qemu.write('top', `write -q -P 7 ${20 + number}M 64k`),
  );
  expect(await check(proxy.socket, top)).toMatchObject([{ valid: true }]);
  expect(await leftIn(qemu)).toEqual([]);
});

it('repair replaces a bitmap that a crash left inconsistent, and needs consent for the origin', async () => {
  const { base, top } = await brokenChain();
  await qemuImg('bitmap', '--add', top, 'c1');
  await qemuImg('bitmap', '--add', top, 'own');
  const crashed = await startQemu(qcow2Nodes('top', top));
  await crashed.write('top', 'write -q -P 5 30M 64k');
  await crashed.crash();
  const qemu = await startQemu(qcow2Nodes('top', top));
  const checked = await check(qemu.socket, top);
  expect(checked).toMatchObject([
    { valid: false, libvirt: 'refuses', bitmaps: [{ state: 'in-use' }, { state: 'good' }] },
    { valid: false, libvirt: 'refuses', bitmaps: [{ state: 'in-use' }] },
  ]);
  const repair = (...names: string[]) =>
    bitmapTool('repair', '--json', '--qmp', qemu.socket, ...names.flatMap((name) => ['-n', name]), top);
  expect(await repair('own')).toMatchObject({ exitCode: 4, error: { code: 'NEEDS_CONSENT' } });
  expect(await qemu.bitmaps('top')).toMatchObject({
    own: { inconsistent: true },
    c1: { inconsistent: true },
  });
  expect(await repair('c1')).toMatchObject({ exitCode: 0 });
  await bitmapToolJson('repair', '--qmp', qemu.socket, '-n', 'own', '--rebuild-origin', top);
  expect(await check(qemu.socket, top)).toMatchObject([{ valid: true }, { valid: true }]);
  await expectExact(qemu, top, 'c1');
  expect(await bitmapTool('check', top)).toMatchObject({ exitCode: 0 });
  await qemuIo(base, 'read -q 0 64k');
});

it('repair changes all disks, or none if one cannot be repaired', async () => {
  const [a, b] = [await brokenChain(), await brokenChain()];
  await qemuImg('bitmap', '--disable', b.base, 'c1');
  const nodes = [...qcow2Nodes('a', a.top), ...qcow2Nodes('b', b.top)];
  const qemu = await startQemu(nodes);
  const args = ['repair', '--json', '--qmp', qemu.socket, '-n', 'c1'];
  expect(await bitmapTool(...args, a.top, b.top)).toMatchObject({ exitCode: 4 });
  expect([await qemu.bitmaps('a'), await qemu.bitmaps('b')]).toEqual([{}, {}]);
  await qemu.stop();
  await qemuImg('bitmap', '--enable', b.base, 'c1');
  const again = await startQemu(nodes);
  await bitmapToolJson('repair', '--qmp', again.socket, a.top, b.top);
  await expectExact(again, a.top, 'c1');
  expect(await bitmapTool('check', b.top)).toMatchObject({ exitCode: 0 });
});
