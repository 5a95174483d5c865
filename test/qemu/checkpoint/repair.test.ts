/** The effect of a repair on each image of a chain, for each rule. QEMU reads the resulting bitmaps. */
import { describe, expect, test } from 'vitest';
import { openChain } from '../../../src/chain/chain.ts';
import type { Qcow2Layer } from '../../../src/chain/layer.ts';
import { parseReference } from '../../../src/chain/reference.ts';
import { readChainImages } from '../../../src/checkpoint/chain/chain-images.ts';
import { planImageRepair } from '../../../src/checkpoint/repair/image-repair.ts';
import { readActiveTables } from '../../../src/image/image.ts';
import { listBitmaps, type RepairOptions, type RepairResult, repairCheckpoints } from '../../../src/index.ts';
import { digest } from '../../support/file-state.ts';
import { qemuBitmaps, qemuImg } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { AUTOCLEAR_LOWEST_BYTE, setByte } from '../../support/set-byte.ts';
import {
  DISABLED,
  edit,
  IN_USE,
  placeOf,
  setFlags,
  threeImages,
  UNIT,
  writeCheckpoint,
} from '../../unit/checkpoint/three-images.ts';

const copy = threeImages();
const AGREED = { rebuildOrigin: true, enableDisabled: true } as const;

async function repair(top: string, options: RepairOptions = AGREED): Promise<RepairResult['disks'][number]> {
  return (await repairCheckpoints([top], options)).disks[0]!;
}

/** For each image, top first: the action for each bitmap, its marked units and the added ones. */
function actions({ images }: RepairResult['disks'][number]): Record<string, string>[] {
  return images.map(({ bitmaps }) =>
    Object.fromEntries(
      bitmaps.map(({ name, action, dirtyBytes, addedBytes }) => [
        name,
        `${action} ${dirtyBytes / UNIT} +${addedBytes / UNIT}`,
      ]),
    ),
  );
}

/** The marks of a bitmap in units, as QEMU reads them. */
async function marks(image: string, name: string): Promise<number[]> {
  const dirty = (await dirtyExtents(image, name)).filter(({ type }) => type === 1);
  return dirty.flatMap(({ offset, length }) =>
    Array.from({ length: Math.ceil(length / UNIT) }, (_, index) => Math.floor(offset / UNIT) + index),
  );
}

const order = async (image: string) => (await qemuBitmaps(image)).map(({ name }) => name);
const flags = async (image: string) => (await qemuBitmaps(image)).map(({ flags: each }) => each.join(' '));
const remove = (image: string, name: string) => qemuImg('bitmap', '--remove', image, name);
const refusal = (code: string, message: RegExp, rest: object = {}) =>
  expect.objectContaining({ code, message: expect.stringMatching(message), ...rest });

const KEPT = [
  { c1: 'keep 1 +0', c2: 'keep 1 +0' },
  { c1: 'keep 1 +0', c2: 'keep 2 +0' },
  { c1: 'keep 2 +0', c2: 'keep 1 +0' },
];

describe('an image above the origin', () => {
  test('keeps a good bitmap that marks all data of the image', async () => {
    const { top } = await copy();
    const disk = await repair(top, {});
    expect(actions(disk)).toEqual(KEPT);
    expect(disk.images.map(({ plan }) => plan)).toEqual([null, null, null]);
    expect(disk.checkpoints).toEqual([
      { name: 'c1', wasValid: true },
      { name: 'c2', wasValid: true },
    ]);
  });

  test('gets a missing bitmap that marks all its data, with the granularity of the nearest image below', async () => {
    const { top, middle } = await copy();
    await remove(top, 'c2');
    await remove(middle, 'c1');
    const disk = await repair(top, {});
    expect(actions(disk)).toEqual([
      { c1: 'keep 1 +0', c2: 'add 2 +2' },
      { c1: 'add 1 +1', c2: 'keep 2 +0' },
      KEPT[2],
    ]);
    expect(disk.images.map(({ bitmaps }) => bitmaps.map(({ granularity }) => granularity))).toEqual([
      [UNIT, 2 * UNIT],
      [UNIT, 2 * UNIT],
      [UNIT, UNIT / 2],
    ]);
    expect(disk.checkpoints.map(({ wasValid }) => wasValid)).toEqual([false, false]);
    expect(disk.images.map(({ plan }) => plan !== null)).toEqual([true, true, false]);
    expect(await marks(top, 'c2')).toEqual([40, 41]);
    expect(await marks(middle, 'c1')).toEqual([20]);
    // What is new comes last.
    expect(await order(middle)).toEqual(['c2', 'c1']);
    expect(await flags(middle)).toEqual(['auto', 'auto']);
    expect(actions(await repair(top, {}))[0]).toEqual({ c1: 'keep 1 +0', c2: 'keep 2 +0' });
  });

  test('gets the missing marks in a bitmap that lacks some, which keeps its marks and its position', async () => {
    const { top, middle } = await copy();
    await qemuImg('bitmap', '--clear', middle, 'c1');
    await qemuImg('bitmap', '--clear', middle, 'c2');
    const disk = await repair(top, { names: ['c1'] });
    expect(actions(disk)[1]).toEqual({ c1: 'top-up 1 +1' });
    expect(disk.checkpoints).toEqual([{ name: 'c1', wasValid: false }]);
    expect(await marks(middle, 'c1')).toEqual([20]);
    expect(await marks(middle, 'c2')).toEqual([]);
    expect(await order(middle)).toEqual(['c1', 'c2']);
  });

  test.each([
    ['in use keeps its readable marks', IN_USE, 'rebuild 2 +0', [20, 21]],
    ['disabled keeps its marks', DISABLED, 'enable 2 +0', [20, 21]],
  ])('with a bitmap that is %s', async (_, state, action, expected) => {
    const { top, middle } = await copy();
    // More than the image holds.
    await qemuImg('bitmap', '--merge', 'c2', middle, 'c1');
    await setFlags(middle, 'c1', state);
    const disk = await repair(top);
    expect(actions(disk)[1]).toEqual({ c1: action, c2: 'keep 2 +0' });
    expect(await marks(middle, 'c1')).toEqual(expected);
    expect(await flags(middle)).toEqual(['auto', 'auto']);
  });

  test('with outdated bitmaps gets new ones for the chosen names, and the others are in use', async () => {
    const { top, middle } = await copy();
    await qemuImg('bitmap', '--merge', 'c2', middle, 'c1');
    await setByte(middle, AUTOCLEAR_LOWEST_BYTE, 0);
    const disk = await repair(top, { names: ['c1'] });
    expect(actions(disk)[1]).toEqual({ c1: 'rebuild 1 +1' });
    expect(await marks(middle, 'c1')).toEqual([20]);
    expect(await order(middle)).toEqual(['c1', 'c2']);
    expect(await flags(middle)).toEqual(['auto', 'in-use auto']);
  });
});

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

describe('a repair includes', () => {
  test('the images with bitmaps of the checkpoint, and no image below them', async () => {
    const { top, base } = await copy();
    await remove(base, 'c1');
    await remove(base, 'c2');
    await remove(top, 'c1');
    const disk = await repair(top, { names: ['c1'] });
    expect(actions(disk)).toEqual([{ c1: 'add 1 +1' }, { c1: 'keep 1 +0' }]);
    expect(disk.checkpoints).toEqual([{ name: 'c1', wasValid: false }]);
  });

  test('each checkpoint down to its origin', async () => {
    const { top, base } = await copy();
    await remove(base, 'c2');
    const disk = await repair(top, {});
    expect(actions(disk)).toEqual([KEPT[0], KEPT[1], { c1: 'keep 2 +0' }]);
    expect(disk.checkpoints.map(({ wasValid }) => wasValid)).toEqual([true, true]);
  });

  test('nothing if there are no checkpoints, even if the user names an origin', async () => {
    const { folder } = await copy();
    const alone = `${folder}/alone.qcow2`;
    await qemuImg('create', '-q', '-f', 'qcow2', alone, '1M');
    expect(await repair(alone, { origins: [alone] })).toMatchObject({ checkpoints: [], images: [] });
  });

  test('a checkpoint without any bitmap, down to the origin that the user names', async () => {
    const { top, middle } = await copy();
    const names = ['c9'];
    await expect(repair(top, { names })).rejects.toEqual(
      refusal('BITMAP_NOT_FOUND', /no image of the chain has a bitmap "c9"/),
    );
    const disk = await repair(top, { names, origins: [middle] });
    expect(actions(disk)).toEqual([{ c9: 'add 1 +1' }, { c9: 'add 1 +1' }]);
    expect(disk.images[1]!.bitmaps).toMatchObject([{ granularity: UNIT, consent: null }]);
    await expect(repair(top, { names: ['n'.repeat(1024)], origins: [middle] })).rejects.toEqual(
      refusal('USAGE', /1024 bytes/),
    );
  });

  test('a checkpoint on file without any bitmap, down to the origin that the user names', async () => {
    const { folder, top, middle } = await copy();
    const checkpoints = [await writeCheckpoint(folder, 'c9'), await writeCheckpoint(folder, 'c1')];
    const disk = await repair(top, { checkpoints, disks: ['vda'], origins: [middle] });
    expect(actions(disk).map((image) => Object.keys(image))).toEqual([['c1', 'c9'], ['c1', 'c9'], ['c1']]);
  });
});

describe('a new bitmap', () => {
  test('has the granularity of the nearest image above if no image below has the bitmap', async () => {
    const { top, base } = await copy();
    await qemuImg('bitmap', '--add', '-g', '8k', top, 'c9');
    const disk = await repair(top, { names: ['c9'], origins: [base] });
    expect(disk.images.map(({ bitmaps }) => bitmaps[0]!.granularity)).toEqual([8192, 8192, 8192]);
  });

  test('has exactly the name of the other bitmaps, even if that is not valid UTF-8', async () => {
    const { top, middle, base } = await copy();
    const name = new Uint8Array(300).fill(0xff);
    await edit(base, (image) => image.changeEntry(placeOf(image, 'c2'), { name }));
    await repair(top, {});
    for (const path of [top, middle]) {
      await edit(path, (image) => expect(image.entries().at(-1)!.name).toEqual(name));
    }
  });

  test('must be one that QEMU can store', async () => {
    const { folder } = await copy();
    const empty = `${folder}/empty.qcow2`;
    await qemuImg('create', '-q', '-f', 'qcow2', empty, '0');
    await expect(repair(empty, { names: ['c9'], origins: [empty] })).rejects.toEqual(
      refusal('BITMAP_LIMIT', /0 bytes/),
    );
  });

  test('needs space, which a device may lack', async () => {
    const { top } = await copy();
    const chain = await openChain(parseReference(top, undefined), { mode: 'read', locking: 'none' });
    try {
      const [found] = await readChainImages(chain);
      const layer = found!.layer as Qcow2Layer;
      const storage = { ...layer.storage, sizeBytes: layer.storage.sizeBytes, canGrow: false };
      const image = { ...layer.image, storage };
      const target = { ...found!, layer: { ...layer, image }, tables: await readActiveTables(image) };
      const tasks = ['a', 'b', 'c', 'd'].map((name) => ({
        name,
        nameBytes: Buffer.from(name),
        older: undefined,
        given: undefined,
        isOrigin: false,
        isAgreed: false,
        granularityBits: 16,
      }));
      await expect(planImageRepair(target, tasks, {})).rejects.toEqual(refusal('NO_ROOM', /top\.qcow2/));
    } finally {
      await chain.close();
    }
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

describe('repair refuses, and writes nothing, for', () => {
  test('a raw image that needs a bitmap, but not for one below all bitmaps', async () => {
    const { folder, base } = await copy();
    const raw = `${folder}/disk.raw`;
    await qemuImg('create', '-q', '-f', 'raw', raw, '8M');
    await qemuImg('rebase', '-u', '-b', raw, '-F', 'raw', base);
    expect(actions(await repair(base, {}))).toEqual([KEPT[2]]);
    await expect(repair(base, { names: ['c9'], origins: [raw] })).rejects.toEqual(
      refusal('UNSUPPORTED', /disk\.raw: a raw image cannot hold the bitmap/),
    );
  });

  test('an image that is marked as corrupt', async () => {
    const { top, middle } = await copy();
    await setByte(middle, 79, 2);
    await expect(repair(top, {})).rejects.toEqual(refusal('NEEDS_CHECK', /middle\.qcow2: .*corrupt/));
  });

  test('an image with two bitmaps of the same name', async () => {
    const { top, middle } = await copy();
    // QEMU allows a bitmap in use to repeat a name.
    await edit(middle, (image) => image.changeEntry(1, { name: 'c1', flags: IN_USE }));
    await expect(repair(top, {})).rejects.toEqual(
      refusal('BITMAP_INCONSISTENT', /middle\.qcow2: two bitmaps of its directory have the same name/),
    );
  });

  test('an image of another size, because the backup would fail although libvirt accepts it', async () => {
    const { top, middle, base } = await copy();
    await qemuImg('resize', '-q', top, '9M');
    await expect(repair(top, {})).rejects.toEqual(
      refusal('SIZE_MISMATCH', /middle\.qcow2: its disk has 8388608 bytes/, {
        remedy: { kind: 'equalize-sizes' },
        context: { file: top, bitmap: 'c1' },
      }),
    );
    // Below the origin it does not matter.
    for (const name of ['c1', 'c2']) {
      await remove(middle, name);
      await remove(base, name);
    }
    expect(actions(await repair(top, {}))).toEqual([KEPT[0]]);
  });

  test('a bitmap that shares clusters with another one that is needed', async () => {
    const { top, base } = await copy();
    await edit(base, (image) => {
      const [, c2] = image.entries();
      const shared = image.bytes.readBigUInt64BE(c2!.tableOffset);
      image.writeTable(0, [shared]);
    });
    await expect(repair(top, { names: ['c1'] })).rejects.toEqual(
      refusal(
        'BITMAP_INCONSISTENT',
        /base\.qcow2: bitmap "c1" cannot be relied upon: .*bitmap "c1" also belong/,
      ),
    );
    await expect(repair(top, { names: ['c2'] })).rejects.toEqual(
      refusal(
        'BITMAP_INCONSISTENT',
        /base\.qcow2: bitmap "c2" cannot be relied upon: .*bitmap "c2" also belong/,
      ),
    );
  });

  test('an image that QEMU would not open, whichever bitmap causes it', async () => {
    const { top, middle } = await copy();
    // Bit 1 of a table entry is reserved.
    await edit(middle, (image) => image.writeTable(placeOf(image, 'c2'), [2n]));
    await expect(repair(top, { names: ['c1'] })).rejects.toEqual(
      refusal('BITMAP_INCONSISTENT', /middle\.qcow2: bitmap "c1" cannot be relied upon: .*c2/),
    );
  });

  test('no broken bitmap of another checkpoint if that bitmap stays in place', async () => {
    const { top, base } = await copy();
    await edit(base, (image) => {
      // The data of c1 in the base is the first cluster of the disk.
      image.writeTable(placeOf(image, 'c1'), [BigInt(5 * UNIT)]);
    });
    expect(actions(await repair(top, { names: ['c2'] }))[2]).toEqual({ c2: 'keep 1 +0' });
  });
});

test('a broken bitmap that was not chosen prevents any write to its image', async () => {
  const { top, base } = await copy();
  await edit(base, (image) => image.writeTable(placeOf(image, 'c1'), [BigInt(5 * UNIT)]));
  await setFlags(base, 'c2', DISABLED);
  const before = await digest(base);
  await expect(repair(top, { ...AGREED, names: ['c2'] })).rejects.toEqual(
    refusal('NEEDS_CHECK', /bitmap "c1"/),
  );
  expect(await digest(base)).toBe(before);
});

test('bitmaps of other names keep their positions', async () => {
  const { top, middle } = await copy();
  await qemuImg('bitmap', '--add', '--disable', middle, 'other');
  await remove(middle, 'c1');
  await repair(top, { names: ['c1'] });
  expect(await order(middle)).toEqual(['c2', 'other', 'c1']);
  expect(await flags(middle)).toEqual(['auto', '', 'auto']);
  expect((await listBitmaps(middle)).bitmaps.map(({ name }) => name)).toEqual(['c2', 'other', 'c1']);
});

test('a dry run reports the same result and writes nothing', async () => {
  const { top, middle } = await copy();
  await remove(middle, 'c1');
  const dry = await repair(top, { dryRun: true });
  expect(actions(dry)[1]).toEqual({ c1: 'add 1 +1', c2: 'keep 2 +0' });
  expect(await order(middle)).toEqual(['c2']);
});
