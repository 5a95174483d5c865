/** checkpoint-xml prints documents to stdout or to a folder, from images or from known checkpoints, without guesses. */
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { holdOpen } from '../../support/hold-open.ts';
import { qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

/** An overlay and its base with c1 and c2; the base alone has more that libvirt would not take for the overlay. */
async function chain(): Promise<{ folder: string; overlay: string; base: string }> {
  const folder = await scratchFolder();
  const [base, overlay] = [join(folder, 'base.qcow2'), join(folder, 'overlay.qcow2')];
  await qemuImg('create', '-q', '-f', 'qcow2', base, '4M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
  for (const image of [base, overlay]) {
    for (const name of ['c1', 'c2', 'not for libvirt', 'backup-vda'])
      await qemuImg('bitmap', '--add', image, name);
  }
  await qemuImg('bitmap', '--add', base, 'below-only');
  await qemuImg('bitmap', '--add', '--disable', overlay, 'disabled');
  return { folder, overlay, base };
}

const document = (name: string, time: number, disks: string[], parent?: string) =>
  [
    '<domaincheckpoint>',
    `  <name>${name}</name>`,
    ...(parent === undefined ? [] : ['  <parent>', `    <name>${parent}</name>`, '  </parent>']),
    `  <creationTime>${time}</creationTime>`,
    '  <disks>',
    ...disks.map((disk) => `    <disk name='${disk}' checkpoint='bitmap' bitmap='${name}'/>`),
    '  </disks>',
    '</domaincheckpoint>',
  ].join('\n');

const refusals = (overlay: string, base: string): [string[], number, RegExp][] => [
  [
    [overlay],
    2,
    /there are 2 valid checkpoints: c1, c2\nName those that you want, the oldest first: --name c1 --name c2$/,
  ],
  [['-n', 'c1', '-n', 'c2', overlay], 2, /2 checkpoints, and virsh takes one at a time\n.*--output/],
  [['-n', 'c1', '-n', 'c1', overlay], 2, /checkpoint "c1" is named twice/],
  [['-n', 'c1', '--parent', 'c1', overlay], 2, /checkpoint "c1" is named twice/],
  [['-n', 'not for libvirt', overlay], 2, /"not for libvirt" is not a valid checkpoint name/],
  [['-n', 'c1', '--parent', '.x', overlay], 2, /".x" is not a valid checkpoint name/],
  [
    ['-n', 'c1', '--disk', 'overlay.qcow2', overlay],
    2,
    /"overlay.qcow2" is not the name of a disk: use its target/,
  ],
  [['-n', 'c1', '--disk', 'vda', overlay, base], 2, /2 images, and 1 disk: name one for each image/],
  [['-n', 'c1', '--disk', 'vda', '--disk', 'vda', overlay, base], 2, /disk vda is named twice/],
  [['-n', 'c1', '--time', 'now', overlay], 2, /"now" is not a time.*date \+%s/],
  [[], 2, /an image is needed, or --checkpoints/],
  [
    ['-n', 'below-only', overlay],
    4,
    /checkpoint "below-only" is not valid: .*overlay\.qcow2: has no bitmap "below-only"\n.*bitmap-tool repair/,
  ],
  [['-n', 'disabled', overlay], 4, /checkpoint "disabled" is not valid: .* is disabled/],
  [['-n', 'c3', overlay], 4, /no image of the chain has a bitmap "c3"/],
  [['-n', 'below-only', base, overlay], 4, /overlay\.qcow2: checkpoint "below-only" is not valid/],
];

describe('checkpoint-xml with images', () => {
  test('offers numbered checkpoints in the order of their numbers, and does not claim an order for others', async () => {
    const { base } = await chain();
    for (const name of ['below-only', 'c1', 'c2'])
      await qemuImg('bitmap', '--remove', base, name).catch(() => '');
    for (const number of [11, 2, 10]) await qemuImg('bitmap', '--add', base, `virtnbdbackup.${number}`);
    const numbered = await bitmapTool('checkpoint-xml', base);
    expect(numbered).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(
        'the oldest first: --name virtnbdbackup.2 --name virtnbdbackup.10 --name virtnbdbackup.11',
      ),
    });
    await qemuImg('bitmap', '--add', base, 'monday');
    expect((await bitmapTool('checkpoint-xml', base)).stderr).toContain(
      'the oldest first (the images do not show the order): --name monday',
    );
  });

  test('prints one checkpoint to stdout', async () => {
    const { overlay } = await chain();
    const args = ['-n', 'c1', '--disk', 'sda', '--time', '1700000000', '--parent', 'c0'];
    const { exitCode, stdout, stderr } = await bitmapTool('checkpoint-xml', ...args, overlay);
    expect({ exitCode, stdout, stderr }).toEqual({
      exitCode: 0,
      stdout: document('c1', 1_700_000_000, ['sda'], 'c0'),
      stderr: '',
    });
  });

  test('chooses the only checkpoint that libvirt would accept, with the current time', async () => {
    const { overlay } = await chain();
    await qemuImg('bitmap', '--remove', overlay, 'c2');
    const before = Math.floor(Date.now() / 1000);
    const { stdout, stderr } = await bitmapTool('checkpoint-xml', overlay);
    expect(stdout).toContain('<name>c1</name>');
    expect(Number(/<creationTime>(\d+)</.exec(stdout)![1]) - before).toBeLessThan(60);
    expect(stderr).toMatch(/warning: taking .*overlay\.qcow2 for vda\. "virsh domblklist DOMAIN"/);
  });

  test('writes several checkpoints to a folder, numbered, each with the previous one as its parent, on all disks', async () => {
    const { overlay, base, folder } = await chain();
    const output = join(folder, 'new', 'xml');
    const named = ['-n', 'c2', '-n', 'c1', '--disk', 'vda', '--disk', '/images/b.qcow2', '--time', '5'];
    const { exitCode, stdout } = await bitmapTool(
      'checkpoint-xml',
      ...named,
      '--output',
      output,
      overlay,
      base,
    );
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`${output}/001-c2.xml\n${output}/002-c1.xml\n`);
    expect(stdout).toContain(`for file in ${output}/*.xml; do virsh checkpoint-create `);
    expect(await readdir(output)).toEqual(['001-c2.xml', '002-c1.xml']);
    // virtnbdbackup uses the times of the files.
    const times = await Promise.all(
      ['001-c2.xml', '002-c1.xml'].map(async (file) => (await stat(join(output, file))).mtimeMs),
    );
    expect(times[1]! - times[0]!).toBe(1000);
    const disks = ['vda', '/images/b.qcow2'];
    const read = async (file: string) => (await readFile(join(output, file), 'utf8')).trimEnd();
    expect(await read('001-c2.xml')).toBe(document('c2', 5, disks));
    expect(await read('002-c1.xml')).toBe(document('c1', 6, disks, 'c2'));
  });

  test('reads an image in use with --force-share, and accepts bitmaps that are in-use because of that', async () => {
    const { overlay } = await chain();
    await holdOpen(overlay);
    expect((await bitmapTool('checkpoint-xml', '-n', 'c1', overlay)).exitCode).toBe(5);
    const { exitCode, stdout } = await bitmapTool('checkpoint-xml', '-U', '-n', 'c1', overlay);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringContaining('<name>c1</name>') });
  });

  test('refuses what it would have to guess and what libvirt would not accept', async () => {
    const { overlay, base } = await chain();
    for (const [args, exitCode, says] of refusals(overlay, base)) {
      const result = await bitmapTool('checkpoint-xml', ...args);
      const said = result.stderr.split('\n').filter((line) => !line.includes('warning:'));
      expect({ args, exitCode: result.exitCode, stdout: result.stdout, said: said.join('\n') }).toEqual({
        args,
        exitCode,
        stdout: '',
        said: expect.stringMatching(says),
      });
    }
  });

  test('refuses a chain without a checkpoint, with advice', async () => {
    const { folder } = await chain();
    const empty = join(folder, 'empty.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', empty, '4M');
    const { exitCode, stderr } = await bitmapTool('checkpoint-xml', '--disk', 'vda', empty);
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(/no valid checkpoint\nSee the state of every checkpoint: bitmap-tool check /);
  });
});

describe('checkpoint-xml with checkpoints on file', () => {
  const dump = (name: string, parent?: string) =>
    document(name, 7, ['vda'], parent).replace(
      '</disks>',
      "</disks>\n  <domain type='kvm'><name>m</name></domain>",
    );

  async function folderOf(...dumps: string[]): Promise<string> {
    const folder = await scratchFolder();
    for (const [index, text] of dumps.entries()) await writeFile(join(folder, `${index}.xml`), text);
    return folder;
  }

  test('leaves out what libvirt does not need', async () => {
    const folder = await folderOf(dump('c1'));
    const { stdout, stderr } = await bitmapTool('checkpoint-xml', '--checkpoints', join(folder, '0.xml'));
    expect({ stdout, stderr }).toEqual({ stdout: document('c1', 7, ['vda']), stderr: '' });
  });

  test('writes parents first', async () => {
    const folder = await folderOf(dump('c3', 'c2'), dump('c2', 'c1'), dump('c1'));
    const output = join(folder, 'xml');
    expect((await bitmapTool('checkpoint-xml', '--checkpoints', folder, '--output', output)).exitCode).toBe(
      0,
    );
    expect(await readdir(output)).toEqual(['001-c1.xml', '002-c2.xml', '003-c3.xml']);
  });

  test('warns of a missing parent and of a checkpoint without disks', async () => {
    const folder = await folderOf(document('c2', 7, [], 'c1').replace(/ {2}<disks>\n {2}<.disks>\n/, ''));
    const { exitCode, stderr } = await bitmapTool('checkpoint-xml', '--checkpoints', folder);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/warning: .*the parent of "c2", "c1", is not among them/);
    expect(stderr).toMatch(/warning: .*"c2" names no disks/);
  });

  test('refuses several checkpoints without a folder, and options that contradict the XML', async () => {
    const folder = await folderOf(dump('c1'), dump('c2', 'c1'));
    const several = await bitmapTool('checkpoint-xml', '--checkpoints', folder);
    expect(several).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/one at a time/) });
    const named = await bitmapTool('checkpoint-xml', '--checkpoints', folder, '-n', 'c1');
    expect(named).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/cannot be combined with images, --name/),
    });
    await writeFile(join(folder, 'broken.xml'), '<domaincheckpoint>');
    const broken = await bitmapTool('checkpoint-xml', '--checkpoints', folder, '--json');
    expect(broken).toMatchObject({ exitCode: 4, error: { code: 'INVALID_CHECKPOINT' } });
  });
});

describe('a folder for the output of checkpoint-xml', () => {
  test('is refused if it already contains XML, which virsh would redefine as well', async () => {
    const { overlay, folder } = await chain();
    const output = join(folder, 'xml');
    await mkdir(output);
    await writeFile(join(output, 'other.xml'), 'mine');
    const { exitCode, stderr } = await bitmapTool('checkpoint-xml', '-n', 'c1', '--output', output, overlay);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/other\.xml exists already/);
    expect(await readdir(output)).toEqual(['other.xml']);
  });

  test('causes exit code 1 if it cannot be created', async () => {
    const { overlay } = await chain();
    const inFile = join(overlay, 'xml');
    const { exitCode, stderr } = await bitmapTool('checkpoint-xml', '-n', 'c1', '--output', inFile, overlay);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/the checkpoints cannot be written: ENOTDIR/);
  });
});
