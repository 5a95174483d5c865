/** Opening an image: its header, refusals, and reads that stay inside the file. */
import { describe, expect, test } from 'vitest';
import { RefusedError } from '../../../src/errors.ts';
import { hostOffset } from '../../../src/format/addresses.ts';
import { encodeBitmapsPayload } from '../../../src/format/bitmaps-extension.ts';
import { FormatError } from '../../../src/format/format-error.ts';
import {
  hasIgnoredBitmaps,
  naming,
  openImage,
  readActiveTables,
  readInside,
  requireInside,
  requireOwnClusters,
  requireWritable,
  whatQemuWrites,
} from '../../../src/image/image.ts';
import { memoryStorage } from '../../support/memory.ts';
import { type HeaderFields, storedHeader } from '../format/stored-header.ts';

const BITMAPS = 0x23852875;
const FORMAT = 0xe2792aca;
const refusal = (code: string, message: RegExp, remedy: object = expect.anything()) =>
  expect.objectContaining({
    code,
    message: expect.stringMatching(message),
    remedy,
    context: { file: 'disk.qcow2' },
  });

interface Contents {
  extensions?: readonly (readonly [type: number, data: Uint8Array])[];
  /** Placed behind the extensions. */
  backingName?: string;
}

/** An image of 4 clusters of 512 bytes: the header, and nothing else. */
function bytesOf(fields: HeaderFields, { extensions = [], backingName = '' }: Contents = {}): Uint8Array {
  const frames = extensions.map(([type, data]) => {
    const frame = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8);
    frame.writeUInt32BE(type, 0);
    frame.writeUInt32BE(data.length, 4);
    frame.set(data, 8);
    return frame;
  });
  const area = Buffer.concat([...frames, Buffer.alloc(8)]);
  const name =
    backingName === ''
      ? {}
      : { backing_file_offset: 104 + area.length, backing_file_size: backingName.length };
  const bytes = new Uint8Array(2048);
  bytes.set(storedHeader({ cluster_bits: 9, size: 512, l1_size: 1, ...name, ...fields }));
  bytes.set(area, 104);
  bytes.set(Buffer.from(backingName), 104 + area.length);
  return bytes;
}

const open = (bytes: Uint8Array, opening?: 'strict' | 'lenient') =>
  openImage(memoryStorage(bytes, { name: 'disk.qcow2' }), opening);
const opened = (fields: HeaderFields, contents?: Contents) => open(bytesOf(fields, contents));

describe('an image', () => {
  test('has at least a header of 512 bytes', async () => {
    const bytes = bytesOf({});
    expect((await open(bytes.slice(0, 512))).header.clusterSizeBytes).toBe(512);
    await expect(open(bytes.slice(0, 511))).rejects.toEqual(
      refusal('INVALID_IMAGE', /^disk\.qcow2: the file has 511 bytes/),
    );
  });

  test('is refused with its name if its header breaks a rule', async () => {
    await expect(opened({ version: 7 })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/^disk\.qcow2: .*version/),
      context: { file: 'disk.qcow2' },
    });
    await expect(opened({ incompatible_features: 1n << 40n })).rejects.toThrow(/bit 40/);
  });

  test('has its whole first cluster as the header cluster', async () => {
    expect((await opened({})).headerCluster).toEqual(bytesOf({}).slice(0, 512));
  });

  test('has the name of its backing file, and its format if that is stored', async () => {
    const extensions = [[FORMAT, Buffer.from('qcow2')]] as const;
    expect((await opened({}, { backingName: 'base' })).backing).toEqual({ name: 'base', format: undefined });
    expect((await opened({}, { backingName: 'base', extensions })).backing).toEqual({
      name: 'base',
      format: 'qcow2',
    });
    expect((await opened({}, { extensions })).backing).toBeUndefined();
    expect((await opened({ backing_file_size: 0 }, { backingName: 'base' })).backing).toBeUndefined();
    expect((await opened({ backing_file_offset: 0 }, { backingName: 'base' })).backing).toBeUndefined();
    // QEMU takes a name that begins with a zero byte for none.
    expect((await opened({}, { backingName: '\0\0\0' })).backing).toBeUndefined();
  });

  test('that QEMU refuses because of its bitmaps can only be opened leniently', async () => {
    const payload = encodeBitmapsPayload({ bitmapCount: 0, offset: hostOffset(512), sizeBytes: 32 });
    const bytes = bytesOf({ autoclear_features: 1 }, { extensions: [[BITMAPS, payload]] });
    await expect(open(bytes)).rejects.toEqual(refusal('INVALID_IMAGE', /nb_bitmaps is 0/));
    await expect(open(bytes, 'strict')).rejects.toThrow(/nb_bitmaps is 0/);
    expect((await open(bytes, 'lenient')).bitmaps.kind).toBe('broken');
  });

  test('with a bitmaps extension of a wrong length is read with the correct length only if it is opened leniently', async () => {
    const payload = encodeBitmapsPayload({ bitmapCount: 1, offset: hostOffset(512), sizeBytes: 32 });
    const bytes = bytesOf({ autoclear_features: 1 }, { extensions: [[BITMAPS, payload]] });
    bytes[104 + 7] = 16;
    await expect(open(bytes)).rejects.toBeInstanceOf(RefusedError);
    const { bitmaps } = await open(bytes, 'lenient');
    expect(bitmaps).toMatchObject({ kind: 'broken', directory: { offset: 512 } });
  });
});

describe('a read', () => {
  test('stays inside the file, up to its last byte', async () => {
    const image = await opened({});
    expect(await readInside(image, 'it', hostOffset(2000), 48)).toHaveLength(48);
    await expect(readInside(image, 'it', hostOffset(2000), 49)).rejects.toEqual(
      refusal(
        'INVALID_IMAGE',
        /^disk\.qcow2: it at 0x7d0 \(49 bytes\) reaches beyond the end of the file at 0x800/,
      ),
    );
    expect(requireInside(image.storage, () => 'it', { offset: hostOffset(2048), length: 0 })).toBeUndefined();
    expect(() => requireInside(image.storage, () => 'it', { offset: hostOffset(2049), length: 0 })).toThrow(
      RefusedError,
    );
  });

  test('needs at most as many clusters as the file has', async () => {
    const image = await open(bytesOf({}).slice(0, 2047));
    expect(requireOwnClusters(image, 'they', 4)).toBeUndefined();
    expect(() => requireOwnClusters(image, 'they', 5)).toThrow(
      refusal('INVALID_IMAGE', /^disk\.qcow2: they take 5 clusters, the file has 4/),
    );
  });

  test('of an L1 table gives the position of each L2 table, none more often than the file has clusters', async () => {
    const bytes = bytesOf({ size: 512 * 64 * 6, l1_size: 6, l1_table_offset: 1024 });
    const table = (...clusters: number[]) => {
      clusters.forEach((cluster, index) => {
        new DataView(bytes.buffer).setBigUint64(1024 + index * 8, BigInt(cluster * 512) | (1n << 63n));
      });
      return open(bytes).then(readActiveTables);
    };
    expect([...(await table(0, 3, 0, 3, 3, 3)).l2Offsets]).toEqual([0, 1536, 0, 1536, 1536, 1536]);
    await expect(table(3, 3, 0, 3, 3, 3)).rejects.toEqual(
      refusal('INVALID_IMAGE', /L2 tables that the active L1 table names take 5 clusters, the file has 4/),
    );
  });

  test('by format code has errors with the name of the file and a remedy', () => {
    const storage = memoryStorage(new Uint8Array(0), { name: 'disk.qcow2' });
    expect(naming(storage, () => 7)).toBe(7);
    const complain = (error: Error) => () =>
      naming(storage, () => {
        throw error;
      });
    expect(complain(new FormatError('broken', { remedy: (file) => ({ kind: 'check', file }) }))).toThrow(
      new RefusedError('INVALID_IMAGE', 'disk.qcow2: broken', {
        remedy: { kind: 'check', file: 'disk.qcow2' },
        context: { file: 'disk.qcow2' },
      }),
    );
    const { remedy } = catching(complain(new FormatError('broken'))) as RefusedError;
    expect(remedy).toBeUndefined();
    const bug = new TypeError('not a function');
    expect(catching(complain(bug))).toBe(bug);
  });
});

function catching(body: () => unknown): unknown {
  try {
    return body();
  } catch (error) {
    return error;
  }
}

describe('bitmaps', () => {
  const extensions = [
    [BITMAPS, encodeBitmapsPayload({ bitmapCount: 1, offset: hostOffset(512), sizeBytes: 32 })],
  ] as const;
  const broken = [
    [BITMAPS, encodeBitmapsPayload({ bitmapCount: 0, offset: hostOffset(512), sizeBytes: 32 })],
  ] as const;
  const stale = () => opened({}, { extensions });
  const withBit = { autoclear_features: 1 };

  test('are ignored by QEMU if there are some and autoclear bit 0 is clear', async () => {
    expect(hasIgnoredBitmaps(await opened({}))).toBe(false);
    expect(hasIgnoredBitmaps(await opened(withBit, { extensions }))).toBe(false);
    expect(hasIgnoredBitmaps(await stale())).toBe(true);
    expect(hasIgnoredBitmaps(await open(bytesOf(withBit, { extensions: broken }), 'lenient'))).toBe(false);
    const misframed = bytesOf({}, { extensions });
    misframed[104 + 7] = 16;
    expect(hasIgnoredBitmaps(await open(misframed, 'lenient'))).toBe(true);
  });

  test('cause a warning if they are outdated, before QEMU drops them', async () => {
    const file = 'disk.qcow2';
    expect(whatQemuWrites(await opened({}))).toEqual({ file, dropsOutdated: false });
    expect(whatQemuWrites(await stale())).toEqual({ file, dropsOutdated: true });
  });
});

describe('an image may not be written', () => {
  const file = { file: 'disk.qcow2', dropsOutdated: false };
  const check = { kind: 'check-and-repair', ...file };
  const upgrade = { kind: 'upgrade-version', ...file };
  test.each<[string, HeaderFields, string, RegExp, object]>([
    ['that is marked corrupt', { incompatible_features: 2 }, 'NEEDS_CHECK', /corrupt$/, check],
    ['that is marked dirty', { incompatible_features: 1 }, 'NEEDS_CHECK', /dirty: its refcounts/, check],
    ['that is marked both', { incompatible_features: 3 }, 'NEEDS_CHECK', /corrupt$/, check],
    ['of version 2', { version: 2 }, 'UNSUPPORTED', /version 2 image/, upgrade],
  ])('%s', async (_, fields, code, message, remedy) => {
    const image = await opened(fields);
    expect(catching(() => requireWritable(image))).toEqual(refusal(code, message, remedy));
  });

  test('although any other image may be written', async () => {
    expect(requireWritable(await opened({}))).toBeUndefined();
    expect(requireWritable(await opened({ incompatible_features: 4 }))).toBeUndefined();
  });
});
