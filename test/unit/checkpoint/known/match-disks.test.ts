/** The disk of an image in a checkpoint: by its files or by the user's choice, and never by a guess. */
import { link, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Checkpoint, CheckpointDisk } from '../../../../src/checkpoint/checkpoint.ts';
import { fileIdentities } from '../../../../src/checkpoint/known/file-identities.ts';
import { type ImageOfDisk, matchDisks } from '../../../../src/checkpoint/known/match-disks.ts';
import { scratchFolder } from '../../../support/scratch.ts';

function checkpoint(...disks: Partial<CheckpointDisk>[]): Checkpoint {
  return named('c1', {}, ...disks);
}

function named(
  name: string,
  { parent, guest }: { parent?: string; guest?: string },
  ...disks: Partial<CheckpointDisk>[]
): Checkpoint {
  return {
    name,
    parent,
    creationTime: 1,
    description: undefined,
    guest,
    disks: disks.map((disk) => ({
      name: disk.target ?? disk.source!,
      checkpoint: 'bitmap',
      bitmap: name,
      target: undefined,
      source: undefined,
      backing: undefined,
      ...disk,
    })),
  };
}

/** Of the only image, in the only checkpoint. */
async function diskOf(only: Checkpoint, { isOnly, ...image }: ImageOfDisk & { isOnly?: boolean }) {
  // Another image that is not a disk of the checkpoint.
  const others = isOnly === true ? [] : [{ paths: ['/nowhere'] }];
  return (await matchDisks([only], [image, ...others], fileIdentities()))[0]![0];
}

const matched = (name: string) => ({ kind: 'disk', disk: expect.objectContaining({ name }) });
const mismatch = (reason: RegExp, kind = 'unclear') => ({ kind, reason: expect.stringMatching(reason) });

async function images(): Promise<{ overlay: string; base: string; other: string; folder: string }> {
  const folder = await scratchFolder();
  const [overlay, base, other] = ['overlay', 'base', 'other'].map((name) => join(folder, name));
  for (const path of [overlay, base, other]) await writeFile(path!, '');
  return { overlay: overlay!, base: base!, other: other!, folder };
}

test('a disk matches if its image of that time is somewhere in the chain', async () => {
  const { overlay, base, other } = await images();
  const two = checkpoint({ target: 'vda', source: base }, { target: 'vdb', source: other });
  expect(await diskOf(two, { paths: [overlay, base] })).toEqual(matched('vda'));
  expect(await diskOf(two, { paths: [other] })).toEqual(matched('vdb'));
  expect(await diskOf(checkpoint({ source: base }), { paths: [overlay, base] })).toEqual(matched(base));
});

test('images match by their files and not by their names', async () => {
  const { overlay, base, folder } = await images();
  await symlink(base, join(folder, 'symlink'));
  await link(base, join(folder, 'link'));
  for (const name of ['symlink', 'link']) {
    const one = checkpoint({ target: 'vda', source: join(folder, name) });
    expect(await diskOf(one, { paths: [overlay, base] })).toEqual(matched('vda'));
  }
});

test('a disk matches if the user names it, by its target or by its name in the checkpoint', async () => {
  const { overlay, base } = await images();
  const two = checkpoint({ target: 'vda', source: '/gone' }, { target: 'vdb', name: base, source: base });
  expect(await diskOf(two, { paths: [overlay], disk: 'vda' })).toEqual(matched('vda'));
  expect(await diskOf(two, { paths: [overlay], disk: 'vdb' })).toEqual(matched(base));
  expect(await diskOf(two, { paths: [overlay], disk: base })).toEqual(matched(base));
  expect(await diskOf(two, { paths: [overlay], disk: 'vdc' })).toEqual(
    mismatch(/has no disk vdc; its disks are: vda \(\/gone\), .*base \(vdb\)$/, 'other'),
  );
});

test('the only disk of a checkpoint without paths matches if only one image is checked', async () => {
  const { overlay } = await images();
  const one = checkpoint({ target: 'vda' });
  expect(await diskOf(one, { paths: [overlay], isOnly: true })).toEqual(matched('vda'));
  expect(await diskOf(one, { paths: [overlay] })).toEqual(mismatch(/its disks are: vda$/));
  const two = checkpoint({ target: 'vda' }, { target: 'vdb' });
  expect(await diskOf(two, { paths: [overlay], isOnly: true })).toEqual(mismatch(/vda, vdb$/));
});

test('an image does not match if its path differs from the path in the checkpoint', async () => {
  const { overlay, base } = await images();
  const moved = checkpoint({ target: 'vda', source: '/old/disk.qcow2' });
  expect(await diskOf(moved, { paths: [overlay, base], isOnly: true })).toEqual(
    mismatch(/vda \(\/old\/disk\.qcow2\)$/),
  );
  expect(await diskOf(checkpoint(), { paths: [overlay], isOnly: true })).toEqual(
    mismatch(/its disks are: none$/),
  );
});

test('a chain with the images of two disks matches neither', async () => {
  const { overlay, base } = await images();
  const two = checkpoint({ target: 'vda', source: overlay }, { target: 'vdb', source: base });
  expect(await diskOf(two, { paths: [overlay, base] })).toEqual(
    mismatch(/holds several disks of checkpoint "c1": vda .*, vdb /),
  );
});

describe('a checkpoint whose image is not in the chain', () => {
  const reasons = (matches: Awaited<ReturnType<typeof matchDisks>>[number]) =>
    matches.map((match) => (match.kind === 'disk' ? match.disk.name : match.kind));
  const match = (checkpoints: Checkpoint[], ...all: ImageOfDisk[]) =>
    matchDisks(checkpoints, all, fileIdentities());

  test('belongs to the disk that has its target in another checkpoint of the same guest', async () => {
    const { base } = await images();
    const gone = { target: 'vda', source: '/gone/overlay' };
    const here = { target: 'vda', source: base };
    for (const [c1, c2] of [
      [named('c1', { guest: 'u1' }, here), named('c2', { guest: 'u1' }, gone)],
      [named('c1', {}, here), named('c2', { parent: 'c1' }, gone)],
      // The parent itself is on file nowhere.
      [named('c2', { parent: 'c1' }, here), named('c3', { parent: 'c1' }, gone)],
      // A guest whose UUID has changed.
      [named('c1', { guest: 'u1' }, here), named('c2', { guest: 'u2', parent: 'c1' }, gone)],
      // Nothing says whose it is, and there is one guest only.
      [named('c1', { guest: 'u1' }, here), named('c2', {}, { target: 'vda' })],
      [named('c1', {}, here), named('c2', {}, gone)],
    ]) {
      expect(reasons((await match([c1!, c2!], { paths: [base] }))[0]!)).toEqual(['vda', 'vda']);
    }
  });

  test('belongs to the disk whose image was below it at that time', async () => {
    const { base, overlay, other } = await images();
    const c2 = named(
      'c2',
      {},
      { target: 'vda', source: '/gone', backing: [undefined, base] },
      { target: 'vdb', source: other },
    );
    expect(reasons((await match([c2], { paths: [overlay, base] }))[0]!)).toEqual(['vda']);
    // Another examined image is that disk.
    const two = named(
      'c2',
      {},
      { target: 'vda', source: overlay, backing: [base] },
      { target: 'vdb', source: '/gone', backing: [base] },
    );
    expect((await match([two], { paths: [overlay, base] }, { paths: [other, base] })).map(reasons)).toEqual([
      ['vda'],
      ['vdb'],
    ]);
  });

  test('belongs to another disk if it is of another guest or names only disks that are known as others', async () => {
    const { base, other } = await images();
    const vda = { target: 'vda', source: base };
    const vdb = { target: 'vdb', source: other };
    const ofGuest = (guest: string, name: string, ...disks: Partial<CheckpointDisk>[]) =>
      named(name, { guest }, ...disks);
    expect(
      reasons(
        (
          await match([ofGuest('u1', 'c1', vda), ofGuest('u2', 'd1', { target: 'vda', source: '/x' })], {
            paths: [base],
          })
        )[0]!,
      ),
    ).toEqual(['vda', 'other']);
    const joined = [ofGuest('u1', 'c1', vda), ofGuest('u1', 'c2', vda, vdb)];
    expect((await match(joined, { paths: [base] }, { paths: [other] })).map(reasons)).toEqual([
      ['vda', 'vda'],
      ['other', 'vdb'],
    ]);
    expect(reasons((await match(joined, { paths: [other] }))[0]!)).toEqual(['other', 'vdb']);
  });

  test('may belong to the disk if the disk had another target or the guest is unknown', async () => {
    const { base } = await images();
    const vda = { target: 'vda', source: base };
    const renamed = [
      named('c1', { guest: 'u1' }, vda),
      named('c2', { guest: 'u1' }, { target: 'sda', source: '/x' }),
    ];
    expect(reasons((await match(renamed, { paths: [base] }))[0]!)).toEqual(['vda', 'unclear']);
    const unsaid = [
      named('c1', { guest: 'u1' }, vda),
      named('d1', { guest: 'u2' }, { target: 'vda', source: '/x' }),
      named('e1', {}, { target: 'vda' }),
    ];
    expect(reasons((await match(unsaid, { paths: [base] }))[0]!)).toEqual(['vda', 'other', 'unclear']);
    const several = [
      named('c1', {}, vda),
      named('c2', {}, { target: 'vdb', source: base }),
      named('c3', {}, { target: 'vda' }, { target: 'vdb' }),
    ];
    expect(reasons((await match(several, { paths: [base] }))[0]!)).toEqual(['vda', 'vdb', 'unclear']);
  });
});
