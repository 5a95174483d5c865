/** The output of `check`. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { holdOpen } from '../../support/hold-open.ts';
import { qemuImg } from '../../support/qemu.ts';
import { brokenChain as brokenChainToRun } from '../../support/running-chain.ts';
import { qcow2Nodes, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { AUTOCLEAR_LOWEST_BYTE, setByte } from '../../support/set-byte.ts';
import { brokenChain, check, crash, problemCodes } from './broken-chain.ts';

describe('check', () => {
  test('reports every state in which libvirt refuses or a backup would be wrong', async () => {
    const [top, middle, base] = await brokenChain(await scratchFolder(), '');
    expect(problemCodes(await check(top!))).toEqual(['bitmap-missing']);
    await qemuImg('bitmap', '--add', top!, 'c1');
    expect(problemCodes(await check(top!))).toEqual(['bitmap-incomplete']);
    await qemuImg('bitmap', '--remove', middle!, 'c1');
    expect(problemCodes(await check(top!)).sort()).toEqual(['bitmap-gap', 'bitmap-incomplete']);
    await qemuImg('bitmap', '--add', '--disable', middle!, 'c1');
    expect(problemCodes(await check(top!)).sort()).toEqual(['bitmap-disabled', 'bitmap-incomplete']);
    await crash(base!);
    expect(problemCodes(await check(base!))).toEqual(['bitmap-in-use', 'in-use']);
    await setByte(base!, AUTOCLEAR_LOWEST_BYTE, 0);
    expect(problemCodes(await check(base!))).toContain('bitmap-stale');
  });

  test('reports images of different sizes and missing images', async () => {
    const [top, middle, base] = await brokenChain(await scratchFolder(), '');
    await bitmapTool('repair', top!);
    await qemuImg('resize', '-q', top!, '9M');
    const sized = await check(top!);
    expect(new Set(problemCodes(sized))).toEqual(new Set(['size-mismatch']));
    expect(sized.disks[0]!.checkpoints[0]).toMatchObject({
      libvirt: 'accepts',
      valid: false,
      dirtyBytes: null,
    });
    await rm(base!);
    const broken = await check(middle!);
    expect(problemCodes(broken)).toEqual(['chain-broken']);
    expect(broken.healthy).toBe(false);
  });

  test('colours problems if colour is wanted', async () => {
    const [top] = await brokenChain(await scratchFolder(), '');
    expect((await bitmapTool('check', '--color', top!)).stdout).toContain('\x1b[31m✗\x1b[39m ');
    expect((await bitmapTool('check', top!)).stdout).toContain('\n✗ ');
  });

  test('reports how much an incremental backup would copy', async () => {
    const [top] = await brokenChain(await scratchFolder(), '');
    await bitmapTool('repair', top!);
    const { healthy, disks } = await check(top!);
    expect({ healthy, checkpoints: disks[0]!.checkpoints }).toMatchObject({
      healthy: true,
      checkpoints: [{ name: 'c1', libvirt: 'accepts', valid: true, dirtyBytes: 128 << 10, advice: null }],
    });
  });

  test('gives advice that leads to a healthy chain', async () => {
    const [top, middle, base] = await brokenChain(await scratchFolder(), '');
    await qemuImg('bitmap', '--disable', middle!, 'c1');
    await setByte(base!, AUTOCLEAR_LOWEST_BYTE, 0);
    await qemuImg('resize', '-q', top!, '9M');
    for (let step = 0; step < 8; step++) {
      const { healthy, disks } = await check(top!);
      if (healthy) return;
      const [program, ...words] = disks[0]!.checkpoints[0]!.advice!.split(' ');
      if (program === 'qemu-img') await qemuImg(words[0]!, ...words.slice(1));
      else expect(await bitmapTool(...words)).toMatchObject({ exitCode: 0 });
    }
    expect.unreachable('eight steps were not enough');
  });

  test('reads a chain in use with --force-share, and then accepts in-use as normal', async () => {
    const [top] = await brokenChain(await scratchFolder(), '');
    await bitmapTool('repair', top!);
    const pid = await holdOpen(top!);
    expect((await bitmapTool('check', top!)).stderr).toContain(`qemu-io (pid ${pid})`);
    const { exitCode, stdout } = await bitmapTool('check', '-U', top!);
    expect({ exitCode, stdout }).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/recording.*its bitmaps are marked in-use/s),
    });
  });

  test('does not call a bitmap missing that a running QEMU has and stores only at its end', async () => {
    const { folder, top } = await brokenChainToRun();
    const qemu = await startQemu(qcow2Nodes('top', top));
    await bitmapToolJson('repair', '--qmp', qemu.socket, top);
    const { healthy, disks } = await check(top, '-U');
    expect(healthy).toBe(true);
    expect(disks[0]!.checkpoints).toMatchObject([
      { name: 'c1', libvirt: 'unknown', valid: null, problems: [], advice: null },
    ]);
    const into = ['create-from', '-U', '--bitmap', 'c1', '--chain', '--into', join(folder, 'new.qcow2'), top];
    const refused = await bitmapTool(...into);
    expect(refused).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining('only that program knows'),
    });
    await qemu.stop();
    expect((await check(top)).disks[0]!.checkpoints).toMatchObject([{ libvirt: 'accepts', valid: true }]);
  });

  test.each(['a chain', 'its origin alone'])(
    'does not call a bitmap valid that a running program may have found broken: %s',
    async (which) => {
      const [top, , base] = await brokenChain(await scratchFolder(), '');
      await bitmapTool('repair', top!);
      const image = which === 'a chain' ? top! : base!;
      // QEMU opens the image, keeps the mark, and refuses the bitmap as inconsistent.
      await crash(image);
      await holdOpen(image);
      const { disks } = await check(image, '-U');
      expect(disks[0]!.checkpoints).toMatchObject([{ libvirt: 'unknown', valid: null, dirtyBytes: null }]);
      expect((await bitmapTool('check', '-U', image)).stdout).toContain('unknown (image in use)');
    },
  );
});
