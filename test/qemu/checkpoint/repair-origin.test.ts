/** The repair of the image in which a checkpoint began: the marks that it gets, and the consent that it needs. */
import { describe, expect, test } from 'vitest';
import { qemuImg } from '../../support/qemu.ts';
import { AUTOCLEAR_LOWEST_BYTE, setByte } from '../../support/set-byte.ts';
import {
  DISABLED,
  IN_USE,
  setFlags,
  threeImages,
  UNIT,
  writeCheckpoint,
} from '../../unit/checkpoint/three-images.ts';
import { AGREED, actions, KEPT, marks, refusal, remove, repair } from './repaired.ts';

const copy = threeImages();

describe('the image in which a checkpoint began', () => {
  const HELD = [0, 1, 2, 3, 8, 12];

  test('needs consent before it gets a bitmap that marks all its data', async () => {
    const { top, base } = await copy();
    await setFlags(base, 'c1', IN_USE);
    for (const given of [{}, { enableDisabled: true }])
      await expect(repair(top, { names: ['c1'], ...given })).rejects.toEqual(
        refusal('NEEDS_CONSENT', /"c1"/),
      );
    const disk = await repair(top, { names: ['c1'], rebuildOrigin: true });
    expect(actions(disk)[2]).toEqual({ c1: 'rebuild 6 +4' });
    expect(disk.images.flatMap(({ bitmaps }) => bitmaps.map(({ consent }) => consent))).toEqual([
      null,
      null,
      'rebuild-origin',
    ]);
    expect(await marks(base, 'c1')).toEqual(HELD);
  });

  test('may hold older data that its good bitmap does not mark', async () => {
    const { base } = await copy();
    expect(actions(await repair(base, {}))).toEqual([KEPT[2]]);
  });

  test('gets a new bitmap for an outdated one, without the old marks', async () => {
    const { top, base } = await copy();
    await setByte(base, AUTOCLEAR_LOWEST_BYTE, 0);
    expect(actions(await repair(top))[2]).toEqual({ c1: 'rebuild 6 +6', c2: 'rebuild 6 +6' });
    expect(await marks(base, 'c1')).toEqual(HELD);
  });

  test('needs no consent if the user names it, and gets the granularity of the nearest image above', async () => {
    const { top, base } = await copy();
    await remove(base, 'c2');
    const disk = await repair(top, { names: ['c2'], origins: [base] });
    // 0…3, 8 and 12 in granules of two units.
    expect(actions(disk)[2]).toEqual({ c2: 'add 8 +8' });
    expect(disk.images[2]!.bitmaps).toMatchObject([{ granularity: 2 * UNIT, consent: null }]);
    expect(await marks(base, 'c2')).toEqual([0, 1, 2, 3, 8, 9, 12, 13]);
  });

  test('needs consent for an existing broken bitmap even if the user names it', async () => {
    const { top, base } = await copy();
    await setFlags(base, 'c2', IN_USE);
    await expect(repair(top, { names: ['c2'], origins: [base] })).rejects.toEqual(
      refusal('NEEDS_CONSENT', /base\.qcow2/),
    );
  });

  test('does not give consent for another image if the user names it', async () => {
    const { top, middle, base } = await copy();
    await remove(base, 'c2');
    await setFlags(middle, 'c2', DISABLED);
    const options = { names: ['c2'], origins: [base] };
    await expect(repair(top, options)).rejects.toEqual(refusal('NEEDS_CONSENT', /middle\.qcow2/));
  });

  test('gets the marks of an older checkpoint, which are fewer than all its data', async () => {
    const { folder, top, base } = await copy();
    const checkpoints = [
      await writeCheckpoint(folder, 'c1', { source: base }),
      await writeCheckpoint(folder, 'c2', { source: base, parent: 'c1' }),
    ];
    await setFlags(base, 'c2', DISABLED);
    expect(actions(await repair(top, { ...AGREED, checkpoints }))[2]).toEqual({
      c1: 'keep 2 +0',
      c2: 'enable 2 +1',
    });
    expect(await marks(base, 'c2')).toEqual([8, 12]);
  });

  test('gets all its data marked if it has no bitmap of the parent', async () => {
    const { folder, top, base } = await copy();
    const checkpoints = [await writeCheckpoint(folder, 'c2', { source: base, parent: 'c1' })];
    await setFlags(base, 'c2', DISABLED);
    const disk = await repair(top, { ...AGREED, checkpoints });
    expect(actions(disk)[2]).toEqual({ c2: 'enable 6 +5' });
  });

  test('gets the marks of an older checkpoint after the repair of that one', async () => {
    const { folder, top, base } = await copy();
    const checkpoints = [
      await writeCheckpoint(folder, 'c1', { source: base }),
      await writeCheckpoint(folder, 'c2', { source: base, parent: 'c1' }),
    ];
    await setFlags(base, 'c1', IN_USE);
    await setFlags(base, 'c2', DISABLED);
    expect(actions(await repair(top, { ...AGREED, checkpoints }))[2]).toEqual({
      c1: 'rebuild 6 +4',
      c2: 'enable 6 +5',
    });
  });

  test('does not get the marks of an older bitmap if its own is in use, because the older one may be a later replacement', async () => {
    const { folder, top, base } = await copy();
    const checkpoints = [
      await writeCheckpoint(folder, 'c1', { source: base }),
      await writeCheckpoint(folder, 'c2', { source: base, parent: 'c1' }),
    ];
    await setFlags(base, 'c2', IN_USE);
    expect(actions(await repair(top, { ...AGREED, checkpoints }))[2]).toEqual({
      c1: 'keep 2 +0',
      c2: 'rebuild 6 +5',
    });
  });

  test('is the only image that gets the marks of an older checkpoint', async () => {
    const { folder, top, middle, base } = await copy();
    const checkpoints = [
      await writeCheckpoint(folder, 'c1', { source: base }),
      await writeCheckpoint(folder, 'c2', { source: base, parent: 'c1' }),
    ];
    await qemuImg('bitmap', '--merge', 'c2', middle, 'c1');
    await remove(middle, 'c2');
    const disk = await repair(top, { checkpoints });
    expect(actions(disk)[1]).toEqual({ c1: 'keep 2 +0', c2: 'add 1 +1' });
  });

  test('is the image on file if that is lower than the lowest bitmap', async () => {
    const { folder, top, base } = await copy();
    await remove(base, 'c1');
    const checkpoints = [await writeCheckpoint(folder, 'c1', { source: base })];
    await expect(repair(top, { checkpoints })).rejects.toEqual(refusal('NEEDS_CONSENT', /base\.qcow2/));
    expect(actions(await repair(top, { ...AGREED, checkpoints }))[2]).toEqual({ c1: 'add 6 +6' });
  });

  test('is the image with the lowest bitmap if the image on file is higher', async () => {
    const { folder, top, middle } = await copy();
    const checkpoints = [await writeCheckpoint(folder, 'c1', { source: middle })];
    expect(actions(await repair(top, { checkpoints }))).toHaveLength(3);
  });
});

describe('the origin that the user names', () => {
  test('must be in the chain', async () => {
    const { folder, top } = await copy();
    const other = `${folder}/other.qcow2`;
    await qemuImg('create', '-q', '-f', 'qcow2', other, '1M');
    await expect(repair(top, { names: ['c9'], origins: [other] })).rejects.toEqual(
      refusal('USAGE', /not in the backing chain/),
    );
  });

  test('may be the active image', async () => {
    const { top } = await copy();
    expect(actions(await repair(top, { names: ['c9'], origins: [top] }))).toEqual([{ c9: 'add 1 +1' }]);
  });

  test('must not be above a bitmap of the checkpoint', async () => {
    const { top, middle } = await copy();
    await expect(repair(top, { names: ['c1'], origins: [middle] })).rejects.toEqual(
      refusal('USAGE', /middle\.qcow2: .*base\.qcow2 below it has the bitmap "c1" too/),
    );
  });

  test('must be needed by some checkpoint if no checkpoint is named', async () => {
    const { folder, top, base } = await copy();
    await remove(base, 'c1');
    await expect(repair(top, { origins: [base] })).rejects.toEqual(refusal('USAGE', /^origin .*base\.qcow2/));
    const checkpoints = [await writeCheckpoint(folder, 'c1', { source: base })];
    await expect(repair(top, { ...AGREED, checkpoints, origins: [base] })).rejects.toEqual(
      refusal('USAGE', /^origin .*base\.qcow2/),
    );
  });
});
