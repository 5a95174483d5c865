/** Which disk of a checkpoint an image is: by its files or by word, and never by a guess. */
import { link, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Checkpoint, CheckpointDisk } from '../../../../src/checkpoint/checkpoint.ts';
import { diskOf } from '../../../../src/checkpoint/verdict/match-disk.ts';
import { scratchFolder } from '../../../support/scratch.ts';

function checkpoint(...disks: Partial<CheckpointDisk>[]): Checkpoint {
  return {
    name: 'c1',
    parent: undefined,
    creationTime: 1,
    description: undefined,
    disks: disks.map(({ target, source, name = target ?? source! }) => ({
      name,
      checkpoint: 'bitmap',
      bitmap: 'c1',
      target,
      source,
    })),
  };
}

const matched = (name: string) => ({ kind: 'disk', disk: expect.objectContaining({ name }) });
const mismatch = (reason: RegExp) => ({ kind: 'mismatch', reason: expect.stringMatching(reason) });

async function images(): Promise<{ overlay: string; base: string; other: string; folder: string }> {
  const folder = await scratchFolder();
  const [overlay, base, other] = ['overlay', 'base', 'other'].map((name) => join(folder, name));
  for (const path of [overlay, base, other]) await writeFile(path!, '');
  return { overlay: overlay!, base: base!, other: other!, folder };
}

test('the disk whose image was active then is now somewhere in the chain', async () => {
  const { overlay, base, other } = await images();
  const two = checkpoint({ target: 'vda', source: base }, { target: 'vdb', source: other });
  expect(await diskOf(two, { paths: [overlay, base] })).toEqual(matched('vda'));
  expect(await diskOf(two, { paths: [other] })).toEqual(matched('vdb'));
  expect(await diskOf(checkpoint({ source: base }), { paths: [overlay, base] })).toEqual(matched(base));
});

test('files count, not their names', async () => {
  const { overlay, base, folder } = await images();
  await symlink(base, join(folder, 'symlink'));
  await link(base, join(folder, 'link'));
  for (const name of ['symlink', 'link']) {
    const one = checkpoint({ target: 'vda', source: join(folder, name) });
    expect(await diskOf(one, { paths: [overlay, base] })).toEqual(matched('vda'));
  }
});

test('the disk that a person names, by target or as the checkpoint calls it', async () => {
  const { overlay, base } = await images();
  const two = checkpoint({ target: 'vda', source: '/gone' }, { target: 'vdb', name: base, source: base });
  expect(await diskOf(two, { paths: [overlay], disk: 'vda' })).toEqual(matched('vda'));
  expect(await diskOf(two, { paths: [overlay], disk: 'vdb' })).toEqual(matched(base));
  expect(await diskOf(two, { paths: [overlay], disk: base })).toEqual(matched(base));
  expect(await diskOf(two, { paths: [overlay], disk: 'vdc' })).toEqual(
    mismatch(/has no disk vdc; its disks are: vda \(\/gone\), .*base \(vdb\)$/),
  );
});

test('the only disk of a checkpoint that tells no paths, if no other image is asked about', async () => {
  const { overlay } = await images();
  const one = checkpoint({ target: 'vda' });
  expect(await diskOf(one, { paths: [overlay], isOnly: true })).toEqual(matched('vda'));
  expect(await diskOf(one, { paths: [overlay] })).toEqual(mismatch(/its disks are: vda$/));
  const two = checkpoint({ target: 'vda' }, { target: 'vdb' });
  expect(await diskOf(two, { paths: [overlay], isOnly: true })).toEqual(mismatch(/vda, vdb$/));
});

test('an image that has another path than the checkpoint tells is none of its disks', async () => {
  const { overlay, base } = await images();
  const moved = checkpoint({ target: 'vda', source: '/old/disk.qcow2' });
  expect(await diskOf(moved, { paths: [overlay, base], isOnly: true })).toEqual(
    mismatch(/vda \(\/old\/disk\.qcow2\)$/),
  );
  expect(await diskOf(checkpoint(), { paths: [overlay], isOnly: true })).toEqual(
    mismatch(/its disks are: none$/),
  );
});

test('a chain with the images of two disks is neither', async () => {
  const { overlay, base } = await images();
  const two = checkpoint({ target: 'vda', source: overlay }, { target: 'vdb', source: base });
  expect(await diskOf(two, { paths: [overlay, base] })).toEqual(
    mismatch(/holds several disks of checkpoint "c1": vda .*, vdb /),
  );
});
