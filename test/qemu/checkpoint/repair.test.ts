/** The effect of a repair on each image of a chain, for each rule. QEMU reads the resulting bitmaps. */
import { describe, expect, test } from 'vitest';
import { openChain } from '../../../src/chain/chain.ts';
import type { Qcow2Layer } from '../../../src/chain/layer.ts';
import { parseReference } from '../../../src/chain/reference.ts';
import { readChainImages } from '../../../src/checkpoint/chain/chain-images.ts';
import { planImageRepair } from '../../../src/checkpoint/repair/image-repair.ts';
import { readActiveTables } from '../../../src/image/image.ts';
import { listBitmaps } from '../../../src/index.ts';
import { digest } from '../../support/file-state.ts';
import { qemuImg } from '../../support/qemu.ts';
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
import { AGREED, actions, flags, KEPT, marks, order, refusal, remove, repair } from './repaired.ts';

const copy = threeImages();

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
