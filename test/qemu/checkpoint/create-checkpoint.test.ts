/** checkpoint-create: an empty bitmap on all disks of a guest that is off, or on none. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { crashOn } from '../../support/crash.ts';
import { digest } from '../../support/file-state.ts';
import { holdOpen } from '../../support/hold-open.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../support/scratch.ts';

interface Guest {
  folder: string;
  /** The active images, each over a base. */
  disks: [vda: string, vdb: string];
  bases: [string, string];
  output: string;
}

async function makeGuest(): Promise<Guest> {
  const folder = await scratchFolder();
  const path = (name: string) => join(folder, `${name}.qcow2`);
  for (const disk of ['vda', 'vdb']) {
    await qemuImg('create', '-q', '-f', 'qcow2', path(`${disk}-base`), '8M');
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', path(`${disk}-base`), '-F', 'qcow2', path(disk));
  }
  return {
    folder,
    disks: [path('vda'), path('vdb')],
    bases: [path('vda-base'), path('vdb-base')],
    output: join(folder, 'new.xml'),
  };
}

const DISKS = ['--disk', 'vda', '--disk', 'vdb'];
const names = async (image: string) => (await qemuBitmaps(image)).map(({ name }) => name);
const digests = (images: readonly string[]) => Promise.all(images.map(digest));

interface Created {
  parent: string | null;
  xml: string;
  file: string | null;
  disks: { action: string; plan: unknown }[];
}

const create = (name: string, { disks }: Guest, ...options: string[]) =>
  bitmapToolJson<Created>('checkpoint-create', name, ...DISKS, ...options, ...disks);

test('the active image of each disk gets an empty enabled bitmap, and the XML names the disks', async () => {
  const guest = await makeGuest();
  const { disks, output, bases } = guest;
  const before = await digests(bases);
  const result = await create('c1', guest, '--output', output, '-g', '4k');
  expect(result).toMatchObject({ parent: null, file: output });
  expect(await readFile(output, 'utf8')).toBe(result.xml);
  expect(result.xml.replace(/<creationTime>\d+</, '<creationTime>…<')).toBe(`<domaincheckpoint>
  <name>c1</name>
  <creationTime>…</creationTime>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='c1'/>
    <disk name='vdb' checkpoint='bitmap' bitmap='c1'/>
  </disks>
</domaincheckpoint>
`);
  for (const image of disks) {
    expect(await qemuBitmaps(image)).toEqual([{ name: 'c1', granularity: 4096, flags: ['auto'] }]);
    expect((await dirtyExtents(image, 'c1')).filter(({ type }) => type === 1)).toEqual([]);
    expect(await qemuCheck(image)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
    await qemuIo(image, 'write -q 1M 4k');
    expect((await dirtyExtents(image, 'c1')).filter(({ type }) => type === 1)).toHaveLength(1);
  }
  expect(await digests(bases)).toEqual(before);
});

describe('the parent', () => {
  test('is the newest checkpoint that all disks have: every other one includes its marks', async () => {
    const guest = await makeGuest();
    const [vda, vdb] = guest.disks;
    for (const image of guest.disks) await qemuImg('bitmap', '--add', image, 'old');
    await qemuIo(vda, 'write -q 1M 64k');
    // The order in the directory and that of the names show nothing.
    for (const image of guest.disks) await qemuImg('bitmap', '--add', image, 'a');
    await qemuIo(vdb, 'write -q 2M 64k');
    await qemuImg('bitmap', '--add', vda, 'only-here');
    expect(await create('c3', guest)).toMatchObject({ parent: 'a' });
    // Like c3 it marks nothing yet: the last one in the directory is the newest.
    expect(await create('b4', guest)).toMatchObject({ parent: 'c3' });
    expect(await create('b5', guest, '--parent', 'old')).toMatchObject({ parent: 'old' });
  });

  test('must be named if the marks do not show which checkpoint is the newest', async () => {
    const guest = await makeGuest();
    const [vda, vdb] = guest.disks;
    await qemuImg('bitmap', '--add', vda, 'one');
    await qemuImg('bitmap', '--add', vdb, 'two');
    for (const image of guest.disks) await qemuIo(image, 'write -q 1M 64k');
    await qemuImg('bitmap', '--add', vda, 'two');
    await qemuImg('bitmap', '--add', vdb, 'one');
    const before = await digests(guest.disks);
    const { exitCode, error } = await bitmapTool(
      'checkpoint-create',
      'c3',
      ...DISKS,
      ...guest.disks,
      '--json',
    );
    expect(exitCode).toBe(2);
    expect(error?.message).toMatch(/neither of the checkpoints "(one|two)" and "(one|two)" marks all/);
    expect(await digests(guest.disks)).toEqual(before);
    expect(await create('c3', guest, '--parent', 'two')).toMatchObject({ parent: 'two' });
  });

  test('is the newest checkpoint on file if files are given', async () => {
    const guest = await makeGuest();
    for (const name of ['c1', 'c2']) await create(name, guest, '--output', join(guest.folder, `${name}.xml`));
    for (const image of guest.disks) await bitmapToolJson('remove', image, 'c1');
    for (const image of guest.disks) await qemuImg('bitmap', '--add', image, 'c1');
    const files = ['c1', 'c2'].flatMap((name) => ['--checkpoints', join(guest.folder, `${name}.xml`)]);
    expect(await create('c3', guest, ...files)).toMatchObject({ parent: 'c2' });
  });

  test('is not a checkpoint that libvirt would refuse', async () => {
    const guest = await makeGuest();
    for (const image of guest.disks) await qemuImg('bitmap', '--add', image, 'c1');
    await qemuImg('bitmap', '--disable', guest.disks[1], 'c1');
    expect(await create('c2', guest)).toMatchObject({ parent: null });
  });
});

describe('nothing is written', () => {
  const refusals: {
    name: string;
    prepare: (guest: Guest) => Promise<unknown>;
    args?: (guest: Guest) => string[];
    exitCode: number;
    says: RegExp;
  }[] = [
    {
      name: 'a bitmap of that name has recorded writes',
      prepare: async ({ disks: [, vdb] }) => {
        await qemuImg('bitmap', '--add', vdb, 'c1');
        await qemuIo(vdb, 'write -q 0 64k');
      },
      exitCode: 4,
      says: /vdb\.qcow2: there is a bitmap "c1" already: it marks 64 KiB/,
    },
    {
      name: 'a bitmap of that name is disabled',
      prepare: ({ disks: [, vdb] }) => qemuImg('bitmap', '--add', '--disable', vdb, 'c1'),
      exitCode: 4,
      says: /it is disabled/,
    },
    {
      name: 'a bitmap of that name was left in-use',
      prepare: async ({ disks: [, vdb] }) => {
        await qemuImg('bitmap', '--add', vdb, 'c1');
        await crashOn(vdb);
      },
      exitCode: 4,
      says: /it is marked in-use/,
    },
    {
      name: 'an image below has a bitmap of that name',
      prepare: ({ bases: [, base] }) => qemuImg('bitmap', '--add', base, 'c1'),
      exitCode: 4,
      says: /vdb\.qcow2: there is a bitmap "c1" already: .*vdb-base\.qcow2 below it has/,
    },
    {
      name: 'a disk is raw',
      prepare: ({ disks: [, vdb] }) => qemuImg('create', '-q', '-f', 'raw', vdb, '8M'),
      exitCode: 4,
      says: /vdb\.qcow2: a raw image cannot hold bitmaps/,
    },
    {
      name: 'an image is in use',
      prepare: ({ disks: [, vdb] }) => holdOpen(vdb),
      exitCode: 5,
      says: /vdb\.qcow2: in use/,
    },
    {
      name: 'an image is named twice',
      prepare: async () => {},
      args: ({ disks: [vda] }) => [...DISKS, vda, vda],
      exitCode: 2,
      says: /is named twice/,
    },
    {
      name: 'an image lies below another one',
      prepare: async () => {},
      args: ({ disks: [vda], bases: [base] }) => [...DISKS, vda, base],
      exitCode: 2,
      says: /lies below another/,
    },
    {
      name: 'there is a file for the XML already',
      prepare: ({ output }) => writeFile(output, 'precious'),
      exitCode: 4,
      says: /new\.xml: there is a file of that name already/,
    },
    {
      name: 'there is no folder for the XML',
      prepare: async () => {},
      args: ({ disks, folder }) => [...DISKS, '--output', join(folder, 'no', 'new.xml'), ...disks],
      exitCode: 1,
      says: /its folder does not exist/,
    },
  ];

  test.each(refusals)('if $name', async ({ prepare, args, exitCode, says }) => {
    const guest = await makeGuest();
    await prepare(guest);
    const before = await digests(guest.disks);
    const files = await readdir(guest.folder);
    const words = args?.(guest) ?? [...DISKS, '--output', guest.output, ...guest.disks];
    const result = await bitmapTool('checkpoint-create', 'c1', ...words, '--json');
    expect({ exitCode: result.exitCode, message: result.error?.message }).toMatchObject({ exitCode });
    expect(result.error?.message).toMatch(says);
    expect(await digests(guest.disks)).toEqual(before);
    expect(await readdir(guest.folder)).toEqual(files);
  });

  test('by a dry run, which reports the planned changes', async () => {
    const guest = await makeGuest();
    const before = await digests(guest.disks);
    const result = await create('c1', guest, '--dry-run', '--output', guest.output);
    expect(result).toMatchObject({ file: null, disks: [{ action: 'created' }, { action: 'created' }] });
    expect(await digests(guest.disks)).toEqual(before);
    expect(await readdir(guest.folder)).not.toContain('new.xml');
  });

  test.each(['.c1', 'a b', '#ALLOCATED', ''])(
    'for the name %j, which libvirt does not accept',
    async (name) => {
      const { disks } = await makeGuest();
      expect((await bitmapTool('checkpoint-create', name, ...DISKS, ...disks)).exitCode).toBe(2);
    },
  );
});

describe('after a power cut between two disks', () => {
  test('the same command completes the checkpoint, and no other bitmap counts as an interrupted one', async () => {
    const guest = await makeGuest();
    const [vda, vdb] = guest.disks;
    await create('c1', guest, '--output', join(guest.folder, 'c1.xml'));
    await qemuIo(vda, 'write -q 1M 64k');
    await bitmapToolJson('checkpoint-create', 'c2', '--disk', 'vda', vda);
    const before = await digest(vda);
    const files = ['--checkpoints', join(guest.folder, 'c1.xml'), ...DISKS];
    for (const options of [[], files]) {
      const { exitCode, json } = await bitmapTool('check', ...options, '--json', ...guest.disks);
      expect(exitCode).toBe(3);
      expect(interruptions(json)).toEqual([['c2'], []]);
    }
    expect(await create('c2', guest, '--output', guest.output)).toMatchObject({
      parent: 'c1',
      disks: [{ action: 'present', plan: null }, { action: 'created' }],
    });
    expect(await digest(vda)).toBe(before);
    expect(await names(vdb)).toEqual(['c1', 'c2']);
    expect((await bitmapTool('check', ...guest.disks)).exitCode).toBe(0);
    // After a guest has run, the bitmap has marks, so it is not a new checkpoint.
    await qemuIo(vda, 'write -q 2M 64k');
    expect((await bitmapTool('checkpoint-create', 'c2', ...DISKS, ...guest.disks)).exitCode).toBe(4);
  });
});

/** Names of the interrupted checkpoints that check reports, for each disk. */
function interruptions(result: unknown): (string | undefined)[][] {
  const { disks } = result as { disks: { images: { problems: { code: string; bitmap?: string }[] }[] }[] };
  return disks.map(({ images }) =>
    images.flatMap(({ problems }) =>
      problems.filter(({ code }) => code === 'checkpoint-interrupted').map(({ bitmap }) => bitmap),
    ),
  );
}
