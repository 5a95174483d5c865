/** check advises one command with its own options. That command repairs the checkpoints. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { putCheckpoint } from '../../support/checkpoint-file.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

let folder: string;
let cp: string;
let disk: string;

/** c1 is good and marks one unit of many that the image holds; those that are lost began in the same image. */
beforeEach(async () => {
  folder = await scratchFolder();
  cp = join(folder, 'checkpoints');
  disk = join(folder, 'disk.qcow2');
  await mkdir(cp);
  await qemuImg('create', '-q', '-f', 'qcow2', disk, '64M');
  await qemuIo(disk, 'write -q -P 1 0 32M');
  await qemuImg('bitmap', '--add', disk, 'c1');
  await qemuIo(disk, 'write -q -P 2 0 64k');
  await putCheckpoint(cp, 'c1', { disks: { vda: [disk] } });
});

const lines = (text: string, mark: string) => text.split('\n').filter((line) => line.startsWith(mark));

async function follow(stdout: string): Promise<string> {
  const [advice, ...more] = lines(stdout, '→ ');
  expect(more).toEqual([]);
  const [program, ...words] = advice!.slice(2).split(' ');
  expect(program).toBe('bitmap-tool');
  const result = await bitmapTool(...words);
  expect(result, result.stderr).toMatchObject({ exitCode: 0 });
  return result.stdout;
}

test('check advises a repair that makes a lost checkpoint from an older one of the same image', async () => {
  await putCheckpoint(cp, 'c2', { parent: 'c1', disks: { vda: [disk] } });
  const { stdout } = await bitmapTool('check', '--checkpoints', cp, '--disk', 'vda', disk);
  expect(lines(stdout, '→ ')).toEqual([
    `→ bitmap-tool repair --rebuild-origin --checkpoints ${cp} --disk vda ${disk}`,
  ]);
  expect(stdout).toContain(`--name NAME --against BACKUP --checkpoints ${cp} --disk vda ${disk}`);
  expect(await follow(stdout)).toMatch(/c2 +added +64 KiB +64 KiB/);
  expect(await bitmapTool('check', '--checkpoints', cp, disk)).toMatchObject({ exitCode: 0 });
});

test('check prints one line of advice and one problem for many checkpoints, and repair one refusal', async () => {
  for (let number = 2; number <= 33; number++)
    await putCheckpoint(cp, `c${number}`, { parent: `c${number - 1}`, disks: { vda: [disk] } });
  const { stdout } = await bitmapTool('check', '--checkpoints', cp, disk);
  expect(stdout.split('\n').length).toBeLessThan(10);
  expect(stdout).toContain('c2 … c33 (32)');
  const { exitCode, stderr } = await bitmapTool('repair', '--checkpoints', cp, disk);
  expect(exitCode).toBe(4);
  expect(stderr).toContain('bitmap "c2" … "c33" (32) is broken or missing');
  expect(stderr.length).toBeLessThan(1000);
  await follow(stdout);
  expect(await bitmapTool('check', '--checkpoints', cp, disk)).toMatchObject({ exitCode: 0 });
});

test('check warns that backups lack changes since a bitmap was added by hand, and says what to do', async () => {
  const overlay = join(folder, 'overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', disk, '-F', 'qcow2', overlay);
  await qemuIo(overlay, 'write -q 40M 64k');
  for (const name of ['c1', 'c2']) await qemuImg('bitmap', '--add', overlay, name);
  await putCheckpoint(cp, 'c2', { parent: 'c1', disks: { vda: [overlay, disk] } });
  const { exitCode, stderr } = await bitmapTool('check', '--checkpoints', cp, overlay);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(
    /made from "c1" and from younger checkpoints \("c2"\) lack what its bitmaps do not mark/,
  );
  expect(stderr).toContain('the next incremental backup from "c1"');
  expect(stderr).toContain('virsh checkpoint-delete DOMAIN c2');
});

test('check advises one command for all disks', async () => {
  const other = join(folder, 'other.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', other, '1M');
  await qemuIo(other, 'write -q 0 64k');
  const { stdout } = await bitmapTool('check', disk, other);
  expect(lines(stdout, '→ ')).toEqual([`→ bitmap-tool repair --name c1 --origin ${other} ${disk} ${other}`]);
  await follow(stdout);
  expect(await bitmapTool('check', disk, other)).toMatchObject({ exitCode: 0 });
});
