/** Chains that repair refuses as a whole. */
import { describe, expect, test } from 'vitest';
import { qemuImg } from '../../support/qemu.ts';
import { setByte } from '../../support/set-byte.ts';
import { edit, IN_USE, placeOf, threeImages, UNIT } from '../../unit/checkpoint/three-images.ts';
import { actions, KEPT, refusal, remove, repair } from './repaired.ts';

const copy = threeImages();

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
