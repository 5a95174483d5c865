/** Room in the header cluster: a backing file name that is in the way is moved as a whole. */
import { describe, expect, test } from 'vitest';
import { openImage } from '../../../src/image/image.ts';
import { moveBackingName, noRoom } from '../../../src/plan/header-room.ts';
import { writeHeader } from '../../../src/plan/plan.ts';
import { memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';

const NAME = 'base.qcow2';

/** A header cluster of 512 bytes with the backing file name at `nameOffset`, or without one if that is 0. */
function withNameAt(nameOffset: number, name = NAME) {
  const bytes = storedHeader({
    cluster_bits: 9,
    ...(nameOffset === 0 ? {} : { backing_file_offset: nameOffset, backing_file_size: name.length }),
  });
  if (nameOffset !== 0) bytes.set(Buffer.from(name), nameOffset);
  return openImage(memoryStorage(bytes, { name: 'disk.qcow2' }));
}

async function expectMove(from: number, end: number, to: number, name = NAME): Promise<void> {
  const offset = Buffer.alloc(8);
  offset.writeBigUInt64BE(BigInt(to));
  expect(moveBackingName(await withNameAt(from, name), end)).toEqual({
    copy: writeHeader(to, Uint8Array.from(Buffer.from(name)), expect.any(String)),
    change: writeHeader(8, Uint8Array.from(offset), expect.any(String)),
  });
}

describe('a backing file name', () => {
  test('stays in place if it is after the written bytes, even directly after them', async () => {
    expect(moveBackingName(await withNameAt(200), 200)).toBeUndefined();
    expect(moveBackingName(await withNameAt(200), 104)).toBeUndefined();
  });

  test('moves after the written bytes, to a multiple of 8', async () => {
    await expectMove(112, 144, 144);
    await expectMove(112, 137, 144);
    await expectMove(143, 144, 160);
  });

  test('never moves onto itself, because a torn copy must not damage the old one', async () => {
    // 112 … 122, of which only the first bytes are in the way.
    await expectMove(112, 113, 128);
    await expectMove(112, 128, 128, 'sixteen-bytes.qc');
  });

  test('may end with the header cluster, but not beyond it', async () => {
    await expectMove(112, 496, 496, 'sixteen-bytes.qc');
    const image = await withNameAt(112, 'seventeen-bytes.q');
    expect(() => moveBackingName(image, 496)).toThrow(
      expect.objectContaining({
        code: 'NO_ROOM',
        message: expect.stringMatching(
          /^disk\.qcow2: no room for a bitmaps extension in the header cluster of 512 bytes: the backing file name of 17 bytes is in the way/,
        ),
        remedy: { kind: 'shorten-backing-name' },
        context: { file: 'disk.qcow2' },
      }),
    );
  });
});

test('header extensions may fill the header cluster, but not exceed it', async () => {
  const image = await withNameAt(0);
  expect(moveBackingName(image, 512)).toBeUndefined();
  expect(() => moveBackingName(image, 513)).toThrow(
    expect.objectContaining({
      code: 'NO_ROOM',
      message: expect.stringContaining('the header extensions fill it'),
      remedy: { kind: 'enlarge-clusters' },
    }),
  );
  expect(noRoom(image, 'why').message).toMatch(/: why$/);
});
