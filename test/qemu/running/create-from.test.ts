/** The job in a running QEMU. The bitmap that QEMU stores at its end must mark exactly its allocation. */

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { startQmpProxy } from '../../support/qmp-proxy.ts';
import { brokenChain, expectExact, HELD_BYTES } from '../../support/running-chain.ts';
import { leftIn, qcow2Nodes, startQemu } from '../../support/running-qemu.ts';

describe.each(['qemu-system-x86_64', 'qemu-storage-daemon'] as const)('create-from --qmp with %s', (kind) => {
  it('gives the active image the bitmaps of its base, with all its data marked', async () => {
    const { top } = await brokenChain();
    const qemu = await startQemu(qcow2Nodes('top', top), kind);
    const result = await bitmapToolJson<{ bitmaps: unknown[] }>(
      'create-from',
      '--allocated',
      '--qmp',
      qemu.socket,
      top,
    );
    expect(result.bitmaps).toEqual([
      { name: 'c1', action: 'created', granularity: 65536, enabled: true, dirtyBytes: HELD_BYTES },
    ]);
    await expectExact(qemu, top, 'c1');
  });
});

describe('create-from --qmp', () => {
  it('marks writes between any two of its commands', async () => {
    const { top } = await brokenChain();
    const qemu = await startQemu(qcow2Nodes('top', top));
    const proxy = await startQmpProxy(
      qemu.socket,
      async (_, number) => qemu.write('top', `write -q -P 7 ${20 + number}M 64k`),
      async (_, number) => qemu.write('top', `write -q -P 8 ${20 + number}.5M 64k`),
    );
    await bitmapToolJson('create-from', '--allocated', '--qmp', proxy.socket, '-n', 'c1', top);
    expect(proxy.commands).toContain('transaction');
    await expectExact(qemu, top, 'c1');
  });

  it('records later writes', async () => {
    const { top } = await brokenChain();
    const qemu = await startQemu(qcow2Nodes('top', top));
    await bitmapToolJson('create-from', '--allocated', '--qmp', qemu.socket, '-g', '4k', '-n', 'fine', top);
    await qemu.write('top', 'write -q -P 9 40M 1M');
    await expectExact(qemu, top, 'fine', 4096);
  });

  it('finds the image by its file under any spelling of the path', async () => {
    const { top } = await brokenChain();
    const qemu = await startQemu(qcow2Nodes('top', top));
    const spelled = join(top, '..', '.', '..', top.split('/').at(-2)!, 'top.qcow2');
    await bitmapToolJson('create-from', '--allocated', '--qmp', qemu.socket, `${spelled}`);
    await expectExact(qemu, top, 'c1');
  });

  it('replaces a bitmap by itself and others without the loss of a mark, also while the guest writes', async () => {
    const { top } = await brokenChain();
    for (const name of ['a', 'b']) await qemuImg('bitmap', '--add', top, name);
    const qemu = await startQemu(qcow2Nodes('top', top));
    await qemu.write('top', 'write -q -P 9 5M 64k');
    const counts = async () => {
      const bitmaps = await qemu.bitmaps('top');
      return ['a', 'b', 'c'].map((name) => bitmaps[name]?.count);
    };
    const replace = async (socket: string, ...args: string[]) =>
      bitmapToolJson('create-from', '--qmp', socket, ...args, '--if-exists', 'replace', top);
    await replace(qemu.socket, '--bitmap', 'a', '-n', 'a');
    expect(await counts()).toEqual([65536, 65536, undefined]);
    await replace(qemu.socket, '--bitmap', 'a', '-n', 'a', '-n', 'c', '-g', '128k');
    expect(await counts()).toEqual([131072, 65536, 131072]);
    const proxy = await startQmpProxy(qemu.socket, async (_, number) =>
      qemu.write('top', `write -q -P 7 ${20 + number}M 64k`),
    );
    await replace(proxy.socket, '--bitmap', 'b', '-n', 'b', '-g', '64k');
    const written = proxy.commands.length;
    expect(await counts()).toEqual([131072 * (written + 1), 65536 * (written + 1), 131072 * (written + 1)]);
    expect(await leftIn(qemu)).toEqual([]);
  });

  it('adds to a bitmap, replaces one, and accepts a list or a union of other bitmaps', async () => {
    const { top } = await brokenChain();
    await qemuImg('bitmap', '--add', top, 'old');
    await qemuIo(top, 'write -q -P 2 5M 64k');
    await qemuImg('bitmap', '--add', '-g', '4k', top, 'coarse');
    const qemu = await startQemu(qcow2Nodes('top', top));
    const createFrom = (...args: string[]) =>
      bitmapToolJson('create-from', '--qmp', qemu.socket, ...args, top);
    await createFrom('--everything', '-n', 'coarse', '-g', '1M', '--if-exists', 'replace');
    await createFrom('--allocated', '-n', 'old', '--if-exists', 'merge');
    await createFrom('--bitmap', 'old', '-n', 'copy');
    await createFrom('--everything', '-n', 'whole', '--disabled');
    expect(await qemu.bitmaps('top')).toMatchObject({
      old: { count: HELD_BYTES + 65536, recording: true },
      coarse: { count: 64 * 2 ** 20, granularity: 2 ** 20 },
      copy: { count: HELD_BYTES + 65536, persistent: true },
      whole: { count: 64 * 2 ** 20, recording: false },
    });
    await expectExact(qemu, top, 'old');
  });

  it('changes nothing in a dry run', async () => {
    const { top } = await brokenChain();
    const qemu = await startQemu(qcow2Nodes('top', top));
    const result = await bitmapToolJson('create-from', '--allocated', '--dry-run', '--qmp', qemu.socket, top);
    expect(result).toMatchObject({ dryRun: true, bitmaps: [{ dirtyBytes: HELD_BYTES }] });
    expect(await qemu.bitmaps('top')).toEqual({});
    expect(await leftIn(qemu)).toEqual([]);
  });

  it('replaces a bitmap that a crash left inconsistent', async () => {
    const { top } = await brokenChain();
    await qemuImg('bitmap', '--add', top, 'c1');
    const crashed = await startQemu(qcow2Nodes('top', top));
    await crashed.write('top', 'write -q -P 5 30M 64k');
    await crashed.crash();
    const qemu = await startQemu(qcow2Nodes('top', top));
    expect(await qemu.bitmaps('top')).toMatchObject({ c1: { inconsistent: true } });
    const args = ['create-from', '--allocated', '-n', 'c1', '--qmp', qemu.socket, top];
    expect(await bitmapTool(...args, '--if-exists', 'merge')).toMatchObject({ exitCode: 4 });
    await bitmapToolJson(...args, '--if-exists', 'replace');
    await expectExact(qemu, top, 'c1');
  });
});
