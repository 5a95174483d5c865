/** The states of bitmaps and images that check finds in a chain. */
import { stat } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { openChain } from '../../../src/chain/chain.ts';
import type { Qcow2Layer } from '../../../src/chain/layer.ts';
import { parseReference } from '../../../src/chain/reference.ts';
import {
  examineChainImage,
  namesOf,
  readChainImages,
  stateIn,
} from '../../../src/checkpoint/chain/chain-images.ts';
import { inspectChainImage } from '../../../src/checkpoint/chain/inspect-chain-image.ts';
import { FailedError, RefusedError } from '../../../src/errors.ts';
import { type CheckOptions, type CheckResult, checkCheckpoints } from '../../../src/index.ts';
import { holdOpen } from '../../support/hold-open.ts';
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

const copy = threeImages();

async function check(top: string, options: CheckOptions = {}): Promise<CheckResult['disks'][number]> {
  return (await checkCheckpoints([top], options)).disks[0]!;
}

/** For each image, top first: the state of its bitmap, and the units that the bitmap lacks. */
function found({ checkpoints }: CheckResult['disks'][number], name: string): string[] {
  const checkpoint = checkpoints.find((each) => each.name === name)!;
  return checkpoint.bitmaps.map(({ state, missingBytes }) => `${state} ${missingBytes / UNIT}`);
}

const codes = ({ images }: CheckResult['disks'][number]) =>
  images.map(({ problems }) => problems.map(({ code }) => code).join(' '));

async function layersOf(top: string, bitmaps: 'strict' | 'lenient') {
  return openChain(parseReference(top, undefined), { mode: 'read', locking: 'none', bitmaps });
}

describe('the state of a bitmap', () => {
  test('is good down to the origin if no bitmap lacks anything', async () => {
    const { top } = await copy();
    const disk = await check(top);
    expect(found(disk, 'c1')).toEqual(['good 0', 'good 0', 'good 0']);
    expect(codes(disk)).toEqual(['', '', '']);
    expect(disk.checkpoints.map(({ name, dirtyBytes }) => [name, dirtyBytes! / UNIT])).toEqual([
      ['c1', 4],
      ['c2', 4],
    ]);
  });

  test('is the state in the directory', async () => {
    const { top, middle, base } = await copy();
    await setFlags(middle, 'c1', DISABLED);
    await setFlags(base, 'c1', IN_USE);
    await qemuImg('bitmap', '--remove', top, 'c1');
    const disk = await check(top);
    expect(found(disk, 'c1')).toEqual(['missing 0', 'disabled 0', 'in-use 0']);
    expect(found(disk, 'c2')).toEqual(['good 0', 'good 0', 'good 0']);
  });

  test('is stale if other software changed the image, but a raw image has no stale bitmaps', async () => {
    const { folder, top, base } = await copy();
    const raw = `${folder}/disk.raw`;
    await qemuImg('create', '-q', '-f', 'raw', raw, '8M');
    await qemuImg('rebase', '-u', '-b', raw, '-F', 'raw', base);
    await setByte(base, AUTOCLEAR_LOWEST_BYTE, 0);
    const disk = await check(top);
    expect(found(disk, 'c1')).toEqual(['good 0', 'good 0', 'stale 0']);
    expect(disk.images.map(({ format }) => format)).toEqual(['qcow2', 'qcow2', 'qcow2', 'raw']);
    expect(codes(disk)[3]).toBe('');
  });

  test('is unreadable if its clusters belong to something else as well, and other bitmaps are not affected', async () => {
    const { top, base } = await copy();
    await edit(base, (image) => image.writeTable(placeOf(image, 'c1'), [BigInt(5 * UNIT)]));
    const disk = await check(top);
    expect(found(disk, 'c1')).toEqual(['good 0', 'good 0', 'unreadable 0']);
    expect(found(disk, 'c2')).toEqual(['good 0', 'good 0', 'good 0']);
  });

  test('is in-use if it is in use, even if its table is broken too', async () => {
    const { top, base } = await copy();
    await edit(base, (image) => image.writeTable(placeOf(image, 'c1'), [BigInt(5 * UNIT)]));
    await setFlags(base, 'c1', IN_USE);
    expect(found(await check(top), 'c1')).toEqual(['good 0', 'good 0', 'in-use 0']);
  });

  test('is unreadable for every bitmap of an image that QEMU would not open', async () => {
    const { top, middle } = await copy();
    await edit(middle, (image) => image.writeTable(placeOf(image, 'c2'), [2n]));
    const disk = await check(top);
    expect(found(disk, 'c1')).toEqual(['good 0', 'unreadable 0', 'good 0']);
    expect(found(disk, 'c2')).toEqual(['good 0', 'unreadable 0', 'good 0']);
  });
});

describe('data that a bitmap does not mark', () => {
  test('is counted at the granularity of the bitmap, in images above the origin', async () => {
    const { top, middle, base } = await copy();
    for (const name of ['c1', 'c2']) {
      await qemuImg('bitmap', '--clear', middle, name);
      await qemuImg('bitmap', '--clear', base, name);
    }
    const disk = await check(top);
    expect(found(disk, 'c1')).toEqual(['good 0', 'good 1', 'good 0']);
    expect(found(disk, 'c2')).toEqual(['good 0', 'good 2', 'good 0']);
  });

  test('is counted in the lowest bitmap as well if the origin is known to be lower', async () => {
    const { folder, top, middle, base } = await copy();
    await qemuImg('bitmap', '--clear', middle, 'c1');
    await qemuImg('bitmap', '--remove', base, 'c1');
    const checkpoints = [await writeCheckpoint(folder, 'c1', { source: base })];
    expect(found(await check(top, { checkpoints }), 'c1')).toEqual(['good 0', 'good 1']);
    expect(found(await check(top), 'c1')).toEqual(['good 0', 'good 0']);
  });

  test('is not counted for a bitmap that is not good', async () => {
    const { top, middle } = await copy();
    await qemuImg('bitmap', '--clear', middle, 'c1');
    await setFlags(middle, 'c1', DISABLED);
    expect(found(await check(top), 'c1')[1]).toBe('disabled 0');
  });
});

describe('an image that a program has open for writing', () => {
  test('has recording bitmaps, and no other problem because of that', async () => {
    const { top } = await copy();
    await holdOpen(top);
    const disk = await check(top, { forceShare: true });
    expect(found(disk, 'c1')).toEqual(['recording 0', 'good 0', 'good 0']);
    expect(codes(disk)).toEqual(['being-written', '', '']);
    expect(disk.images[0]!.problems[0]).toMatchObject({ severity: 'note', unopenable: false });
  });

  test('is examined for all other problems', async () => {
    const { top } = await copy();
    await holdOpen(top);
    await edit(top, (image) => image.changeEntry(0, { granularityBits: 40 }));
    const [first] = codes(await check(top, { forceShare: true }));
    expect(first).toMatch(/^being-written entry-granularity/);
  });

  test('is not looked for if the image is locked, because it would have been refused', async () => {
    const { top } = await copy();
    await setFlags(top, 'c1', IN_USE);
    expect(found(await check(top, { forceShare: true }), 'c1')[0]).toBe('in-use 0');
    expect(codes(await check(top))).toEqual(['in-use', '', '']);
  });
});

test('an image with unreadable tables is reported, and its bitmaps are unreadable', async () => {
  const { top, middle } = await copy();
  const { size } = await stat(middle);
  // The header places the L1 table beyond the end.
  const offset = Buffer.alloc(8);
  offset.writeBigUInt64BE(BigInt(Math.ceil(size / UNIT + 4) * UNIT));
  for (const [index, byte] of offset.entries()) await setByte(middle, 40 + index, byte);
  const disk = await check(top);
  expect(found(disk, 'c1')).toEqual(['good 0', 'unreadable 0', 'good 0']);
  expect(disk.images[1]!.problems).toEqual([
    {
      code: 'image-unreadable',
      severity: 'error',
      message: expect.stringMatching(/middle\.qcow2: the active L1 table .* beyond the end of the file/),
      remedy: { kind: 'restore-copy-or-check', file: middle },
      unopenable: false,
    },
  ]);
});

test.each([
  [
    'a refusal becomes a problem of the image, here without a remedy',
    new RefusedError('INVALID_IMAGE', 'no'),
  ],
  ['a failure of the device ends the look', new FailedError('IO_ERROR', 'no')],
])('%s', async (_, error) => {
  const { top } = await copy();
  const chain = await layersOf(top, 'lenient');
  try {
    const examined = await examineChainImage(chain.top);
    const layer = chain.top as Qcow2Layer;
    const storage = { ...layer.storage, read: () => Promise.reject(error) };
    const failing = { ...examined, layer: { ...layer, image: { ...layer.image, storage } } };
    const inspection = inspectChainImage(failing, undefined, [], false, {});
    if (error instanceof FailedError) return await expect(inspection).rejects.toBe(error);
    expect((await inspection).problems).toStrictEqual([
      { code: 'image-unreadable', severity: 'error', message: 'no', unopenable: false },
    ]);
  } finally {
    await chain.close();
  }
});

describe('the directories of a chain', () => {
  test('are what QEMU would read, and the names of the base come first', async () => {
    const { top, middle, base } = await copy();
    await qemuImg('bitmap', '--add', top, 'newest');
    await setByte(middle, AUTOCLEAR_LOWEST_BYTE, 0);
    const chain = await layersOf(top, 'strict');
    try {
      const images = await readChainImages(chain);
      expect(images.map(({ present }) => present.map(({ name }) => name))).toEqual([
        ['c1', 'c2', 'newest'],
        [],
        ['c1', 'c2'],
      ]);
      expect([...images[1]!.bitmaps.keys()]).toEqual(['c1', 'c2']);
      expect(images.map(({ layer }) => layer.path)).toEqual([top, middle, base]);
      expect(namesOf(images)).toEqual(['c1', 'c2', 'newest']);
      expect(images.map((image) => stateIn(image, 'c1'))).toEqual(['good', 'stale', 'good']);
    } finally {
      await chain.close();
    }
  });

  test('are refused if QEMU refuses them, and are read as far as possible for an examination', async () => {
    const { top } = await copy();
    await edit(top, (image) => image.changeEntry(1, { granularityBits: 40 }));
    const chain = await layersOf(top, 'lenient');
    try {
      await expect(readChainImages(chain)).rejects.toThrow(/granularity/);
      const image = await examineChainImage(chain.top);
      expect([...image.bitmaps.keys()]).toEqual(['c1', 'c2']);
      expect(image.isBeingWritten).toBe(false);
    } finally {
      await chain.close();
    }
  });
});
