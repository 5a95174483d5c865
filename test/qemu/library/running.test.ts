/** The functions of the library for a running QEMU, each in a typical use. */
import { expect, test } from 'vitest';
import {
  addRunning,
  checkRunning,
  clearRunning,
  createFromRunning,
  disableRunning,
  dumpRunning,
  enableRunning,
  listRunning,
  mergeRunning,
  openDomain,
  openQemu,
  removeRunning,
  repairRunning,
} from '../../../src/index.ts';
import { brokenChain, expectExact, HELD_BYTES } from '../../support/running-chain.ts';
import { qcow2Nodes, startQemu } from '../../support/running-qemu.ts';

test('library functions check, repair and change the bitmaps of a running QEMU', async () => {
  const { top } = await brokenChain();
  const running = await startQemu(qcow2Nodes('top', top));
  const qemu = await openQemu({ qmp: running.socket });
  try {
    expect(await checkRunning(qemu, [top])).toMatchObject({ healthy: false });
    expect(await repairRunning(qemu, [top])).toMatchObject({ disks: [{ checkpoints: [{ name: 'c1' }] }] });
    expect(await checkRunning(qemu, [top])).toMatchObject({ healthy: true });
    expect(await createFromRunning(qemu, top, { kind: 'allocated' }, { names: ['copy'] })).toMatchObject({
      bitmaps: [{ name: 'copy', dirtyBytes: HELD_BYTES }],
    });
    await addRunning(qemu, top, ['new'], { granularity: 65536 });
    await mergeRunning(qemu, top, 'new', { names: ['copy', '#ALLOCATED'] });
    expect(await dumpRunning(qemu, top, 'new')).toMatchObject({ dirtyBytes: HELD_BYTES });
    await clearRunning(qemu, top, ['copy']);
    await disableRunning(qemu, top, ['copy', 'new']);
    await enableRunning(qemu, top, ['new']);
    const { bitmaps } = await listRunning(qemu, top);
    expect(
      Object.fromEntries(bitmaps.map(({ name, flags, dirtyBytes }) => [name, { flags, dirtyBytes }])),
    ).toEqual({
      c1: { flags: ['auto'], dirtyBytes: HELD_BYTES },
      copy: { flags: [], dirtyBytes: 0 },
      new: { flags: ['auto'], dirtyBytes: HELD_BYTES },
    });
    await removeRunning(qemu, top, ['copy', 'new']);
  } finally {
    await qemu.close();
  }
  await expectExact(running, top, 'c1');
});

test('an unknown guest is an error of libvirt', async () => {
  await expect(openDomain({ domain: 'no-such-guest', connect: 'test:///default' })).rejects.toMatchObject({
    code: 'LIBVIRT_ERROR',
  });
});
