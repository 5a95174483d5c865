/** Guests by name with disks of several kinds, and transient guests, with a libvirt daemon as judge. */
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuBitmaps, qemuImg, qemuIo } from '../../support/qemu.ts';
import { makeTemporaryFolder, scratchFolder } from '../../support/scratch.ts';
import { type LibvirtDaemon, startLibvirtDaemon } from './daemon.ts';
import { checkpointOf, createImage, restoresTo } from './images.ts';
import { defineMachine, domainXml } from './machine.ts';

let libvirt: LibvirtDaemon;

beforeAll(async () => {
  libvirt = await startLibvirtDaemon(await makeTemporaryFolder());
});
afterAll(() => libvirt?.close());

/** `bitmap-tool VERB --domain NAME --connect URI …` */
function tool(verb: string, name: string, ...args: string[]) {
  return bitmapTool(verb, '--json', '--domain', name, '--connect', libvirt.uri, ...args);
}

/** It has a virtio disk and a SCSI disk in qcow2, a raw disk, and CD drives with and without a medium. */
async function mixedGuest() {
  const folder = await scratchFolder();
  const [raw, iso] = [join(folder, 'raw.img'), join(folder, 'cd.iso')];
  for (const path of [raw, iso]) await qemuImg('create', '-q', '-f', 'raw', path, '1M');
  const bases = { vda: join(folder, 'vda.qcow2'), sda: join(folder, 'sda.qcow2') };
  for (const base of Object.values(bases)) {
    await createImage(base, undefined, '16M');
    await qemuIo(base, 'write -q -P 1 0 1M');
  }
  const others = `
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${raw}'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${iso}'/><target dev='sdb' bus='scsi'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='sdc' bus='scsi'/><readonly/></disk>
    <controller type='scsi' index='0' model='virtio-scsi'/>`;
  const machine = await defineMachine(libvirt, bases, `k${folder.slice(-6)}`, others);
  onTestFinished(() => machine.remove());
  await machine.start();
  const full = join(folder, 'full');
  await mkdir(full);
  const checkpoint = `<domaincheckpoint><name>c1</name><disks>
    <disk name='vda' checkpoint='bitmap'/><disk name='sda' checkpoint='bitmap'/>
  </disks></domaincheckpoint>`;
  expect(await machine.backup(full, { checkpoint })).toMatchObject({ ok: true });
  await machine.stop();
  const tops = { vda: join(folder, 'vda-top.qcow2'), sda: join(folder, 'sda-top.qcow2') };
  for (const target of ['vda', 'sda'] as const) await createImage(tops[target], bases[target]);
  await machine.setDisks(tops);
  return { folder, machine, bases, full };
}

it('repairs the qcow2 disks of a guest with other disks, and its backup restores identical', async () => {
  const { folder, machine, full } = await mixedGuest();
  await machine.start();
  await machine.write('vda', 'write -P 2 4M 1M');
  await machine.write('sda', 'write -P 3 6M 2M');
  const { exitCode, json } = await tool('repair', machine.name);
  expect({ exitCode, json }).toMatchObject({
    exitCode: 0,
    json: {
      disks: [{ checkpoints: [{ name: 'c1' }] }, { checkpoints: [{ name: 'c1' }] }],
      domain: {
        targets: ['vda', 'sda'],
        leftOut: [{ disk: 'vdb' }],
        verdicts: [{ checkpoint: 'c1', valid: true, dirtyBytes: 3 * 2 ** 20 }],
      },
    },
  });
  await machine.write('sda', 'write -P 4 9M 1M');
  const inc = join(folder, 'inc');
  await mkdir(inc);
  expect(await machine.backup(inc, { since: 'c1' })).toMatchObject({ ok: true });
  await machine.stop();
  for (const [target, image] of Object.entries(machine.disks)) {
    const backups = [full, inc].map((path) => join(path, `${target}.qcow2`));
    expect(await restoresTo(image, backups)).toBe(true);
  }
});

it('changes no disk of a guest if one of them cannot be repaired', async () => {
  const { machine, bases } = await mixedGuest();
  await qemuImg('bitmap', '--disable', bases.sda, 'c1');
  await machine.start();
  const advised = async (...args: string[]) => {
    const { json } = await tool('check', machine.name, ...args);
    const { disks } = json as { disks: { checkpoints: { advice: string | null }[] }[] };
    return disks.flatMap(({ checkpoints }) => checkpoints.flatMap(({ advice }) => advice ?? []));
  };
  const guest = `--domain ${machine.name} --connect '${libvirt.uri}'`;
  expect(await advised()).toEqual(Array(2).fill(`bitmap-tool repair --enable-disabled ${guest}`));
  expect(await advised('--disk', 'vda')).toEqual([`bitmap-tool repair ${guest} --disk vda`]);
  expect(await tool('repair', machine.name)).toMatchObject({ exitCode: 4 });
  for (const target of Object.keys(machine.disks)) {
    expect(await tool('list', machine.name, target)).toMatchObject({ exitCode: 0, json: { bitmaps: [] } });
  }
  expect(await tool('repair', machine.name, '--disk', 'vda')).toMatchObject({
    json: { disks: [{ checkpoints: [{ name: 'c1' }] }] },
  });
  expect(await tool('list', machine.name, 'vda')).toMatchObject({ json: { bitmaps: [{ name: 'c1' }] } });
});

it('repairs a transient guest, and libvirt accepts its checkpoint', async () => {
  const folder = await scratchFolder();
  const [base, top] = [join(folder, 'base.qcow2'), join(folder, 'top.qcow2')];
  await createImage(base, undefined, '16M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await createImage(top, base);
  const name = `t${folder.slice(-6)}`;
  const domain = join(folder, 'domain.xml');
  await writeFile(domain, domainXml(name, randomUUID(), { vda: top }));
  await libvirt.run('create', domain, '--paused');
  onTestFinished(() => void libvirt.attempt('destroy', name));
  const write = 'qemu-io -d virtio-disk0/virtio-backend "write -P 2 1M 1M"';
  await libvirt.run('qemu-monitor-command', name, '--hmp', write);
  expect(await tool('check', name)).toMatchObject({ exitCode: 3, json: { healthy: false } });
  const checkpoint = join(folder, 'c1.xml');
  await writeFile(checkpoint, checkpointOf('c1', ['vda']));
  expect(await tool('repair', name, '--checkpoints', checkpoint)).toMatchObject({
    exitCode: 0,
    json: { domain: { verdicts: [{ checkpoint: 'c1', valid: true, redefined: true }] } },
  });
  expect(await tool('check', name)).toMatchObject({
    exitCode: 0,
    json: { domain: { verdicts: [{ checkpoint: 'c1', valid: true, dirtyBytes: 2 ** 20 }] } },
  });
  await libvirt.run('destroy', name);
  expect(await qemuBitmaps(top)).toEqual([{ name: 'c1', granularity: 65536, flags: ['auto'] }]);
});

it('leaves out a read-only disk that no known checkpoint has, as libvirt does', async () => {
  const folder = await scratchFolder();
  const [base, top, fixed] = ['base', 'top', 'fixed'].map((each) => join(folder, `${each}.qcow2`)) as [
    string,
    string,
    string,
  ];
  await createImage(base, undefined, '16M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await createImage(top, base);
  await createImage(fixed, undefined, '16M');
  const readOnly = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${fixed}'/><target dev='vdb' bus='virtio'/><readonly/></disk>`;
  const machine = await defineMachine(libvirt, { vda: top }, `r${folder.slice(-6)}`, readOnly);
  onTestFinished(() => machine.remove());
  const repair = await tool('repair', machine.name);
  expect(repair).toMatchObject({
    exitCode: 0,
    json: {
      domain: { targets: ['vda'], leftOut: [{ disk: 'vdb', reason: expect.stringContaining('read-only') }] },
    },
  });
  expect(await tool('check', machine.name)).toMatchObject({ exitCode: 0, json: { healthy: true } });
  // A person may still name it.
  expect(await tool('check', machine.name, '--disk', 'vdb')).toMatchObject({
    json: { disks: [{ image: fixed }] },
  });
});

/** Plugs in a disk whose two upper images lack the bitmap of the base. */
async function plugIn(name: string, folder: string) {
  const [base, middle, top] = ['base', 'middle', 'top'].map((each) => join(folder, `${each}.qcow2`)) as [
    string,
    string,
    string,
  ];
  await createImage(base, undefined, '16M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await createImage(middle, base);
  await qemuIo(middle, 'write -q -P 2 1M 1M');
  await createImage(top, middle);
  const device = join(folder, 'device.xml');
  await writeFile(
    device,
    `<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' discard='unmap' detect_zeroes='unmap'/>
      <source file='${top}'/><target dev='sda' bus='scsi'/>
    </disk>`,
  );
  await libvirt.run('attach-device', name, device, '--live');
  return { middle, top };
}

/** What QEMU reports of the options of its nodes. */
async function optionsIn(name: string): Promise<unknown[]> {
  const query = '{"execute":"query-named-block-nodes","arguments":{"flat":true}}';
  const answer = JSON.parse(await libvirt.run('qemu-monitor-command', name, query)) as {
    return: Record<string, unknown>[];
  };
  return answer.return.map((info) => [info['node-name'], info['ro'], info['cache'], info['detect_zeroes']]);
}

const SCSI = `<controller type='scsi' index='0' model='virtio-scsi'/>`;

it('repairs all images of a disk that was plugged into a running guest, and keeps their options', async () => {
  const folder = await scratchFolder();
  const system = join(folder, 'system.qcow2');
  await createImage(system, undefined, '16M');
  const machine = await defineMachine(libvirt, { vda: system }, `h${folder.slice(-6)}`, SCSI);
  onTestFinished(() => machine.remove());
  await machine.start();
  const { middle, top } = await plugIn(machine.name, folder);
  const options = await optionsIn(machine.name);
  const { exitCode, stderr } = await tool('repair', machine.name, '--disk', 'sda');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(await optionsIn(machine.name)).toEqual(options);
  await machine.stop();
  expect(await bitmapTool('check', '--json', top)).toMatchObject({
    exitCode: 0,
    json: { disks: [{ checkpoints: [{ name: 'c1', valid: true, dirtyBytes: 2 ** 20 }] }] },
  });
  expect(await qemuBitmaps(middle)).toEqual([{ name: 'c1', granularity: 65536, flags: ['auto'] }]);
});

it('refuses to reopen an image if no image shows that libvirt still has the options of the start', async () => {
  const folder = await scratchFolder();
  const machine = await defineMachine(libvirt, {}, `n${folder.slice(-6)}`, SCSI);
  onTestFinished(() => machine.remove());
  await machine.start();
  await plugIn(machine.name, folder);
  const { exitCode, error } = await tool('repair', machine.name);
  expect({ exitCode, message: error?.message }).toMatchObject({
    exitCode: 4,
    message: expect.stringContaining('is not known for certain; nothing was changed'),
  });
  expect(await tool('list', machine.name, 'sda')).toMatchObject({ json: { bitmaps: [] } });
});
