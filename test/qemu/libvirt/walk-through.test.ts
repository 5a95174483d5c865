/** The steps of docs/repair-checkpoints.md on a machine with a broken checkpoint. */
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { compareImages, qemuIo } from '../../support/qemu.ts';
import { makeTemporaryFolder, scratchFolder } from '../../support/scratch.ts';
import { checkpointOf, createImage, newCheckpoint } from './images.ts';
import { defineMachine } from './machine.ts';
import { newVirsh, type Virsh } from './virsh.ts';
import { makeVirshCommand } from './virsh-command.ts';

const file = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
let virsh: Virsh;

beforeAll(async () => {
  virsh = await newVirsh(await makeTemporaryFolder());
});

afterAll(() => virsh?.close());

/** The blocks of the page that are commands for a shell. */
async function shellBlocks(page: string): Promise<string[]> {
  const text = await readFile(file(page), 'utf8');
  return Array.from(text.matchAll(/^```sh\n(.*?)^```$/gms), ([, commands]) => commands!);
}

test.each([true, false])(
  'the walk-through leads to a complete incremental backup (libvirt still knows the checkpoint: %s)',
  async (isKnown) => {
    const folder = await scratchFolder();
    const [images, backup, bin] = ['images', 'backup', 'bin'].map((name) => join(folder, name));
    for (const each of [images, backup, bin]) await mkdir(each!);
    await makeVirshCommand(virsh, bin!);
    await symlink(file('bin/bitmap-tool.js'), join(bin!, 'bitmap-tool'));
    const [base, overlay] = [join(images!, 'disk.qcow2'), join(images!, 'overlay.qcow2')];

    // A full backup with a checkpoint. Then an overlay is added by hand, and the guest continues to write.
    await createImage(base, undefined, '64M');
    await qemuIo(base, 'write -q -P 1 0 4M');
    const machine = await defineMachine(virsh, { vda: base }, 'vm1');
    onTestFinished(() => machine.remove());
    await machine.start();
    await machine.backup(backup!, { checkpoint: newCheckpoint('c1') });
    await execa('mv', [join(backup!, 'vda.qcow2'), join(backup!, 'full.qcow2')]);
    await machine.write('vda', 'write -P 2 8M 1M');
    const dump = await machine.dumpCheckpoint('c1');
    await machine.stop();
    await createImage(overlay, base);
    await qemuIo(overlay, 'write -q -P 3 20M 128k');
    await machine.setDisks({ vda: overlay });
    await machine.start();
    expect((await machine.validate(checkpointOf('c1', ['vda']))).output).toBe(
      "error: checkpoint inconsistent: missing or broken bitmap 'c1' for disk 'vda'",
    );
    await machine.stop();
    if (!isKnown) await machine.forgetCheckpoints();

    const blocks = await shellBlocks('docs/repair-checkpoints.md');
    const commands = blocks.join('').replaceAll(/\/(images|backup)\//g, `${folder}/$1/`);
    const saved = `mkdir -p checkpoints; cat > checkpoints/c1.xml <<'END'\n${dump}\nEND\n`;
    const script = isKnown ? commands : commands.replace(/^bitmap-tool check /m, `${saved}$&`);
    // The backup runs on behind virsh backup-begin, and locks its image.
    const [before, after] = script.split(/^(?=qemu-img rebase)/m);
    const run = (text: string) =>
      execa('sh', ['-e', '-c', text], {
        cwd: folder,
        all: true,
        stdin: 'ignore',
        env: { PATH: `${bin}:${process.env['PATH']}` },
      });
    await run(before!);
    await machine.endOfJob();
    await run(after!);
    await machine.stop();
    expect(await compareImages(join(backup!, 'incremental.qcow2'), overlay)).toMatchObject({
      identical: true,
    });
  },
);
