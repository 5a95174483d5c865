/** The stored metadata of the committed images, and of copies with one broken field. */
import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { inspectImage } from '../../../src/index.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { setByte } from '../../support/set-byte.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../../../fixtures/${name}`, import.meta.url));

/** A copy of the base of the demo chain, which has one bitmap, with bytes changed. */
async function broken(...changes: [offset: number, byte: number][]): Promise<string> {
  const image = join(await scratchFolder(), 'base.qcow2');
  await copyFile(fixture('chain/base.qcow2'), image);
  for (const [offset, byte] of changes) await setByte(image, offset, byte);
  return image;
}

async function beU64(image: string, offset: number): Promise<number> {
  return Number((await readFile(image)).readBigUInt64BE(offset));
}

describe('the header', () => {
  test('has the field names of the specification and the stored values', async () => {
    const image = fixture('chain/overlay.qcow2');
    const { header, fileBytes } = await inspectImage(image, { parts: ['header'] });
    expect(header).toMatchObject({
      magic: 0x514649fb,
      version: 3,
      cluster_bits: 16,
      size: 64 * 2 ** 20,
      l1_table_offset: await beU64(image, 40),
      refcount_table_offset: await beU64(image, 48),
      refcount_order: 4,
      compression_type: 0,
      backing_file: 'base.qcow2',
    });
    expect(fileBytes).toBe((await readFile(image)).length);
  });

  test('of a version 2 image ends before the fields of version 3', async () => {
    const { header } = await inspectImage(fixture('images/v2/disk.qcow2'), { parts: ['header'] });
    expect(header).toMatchObject({ version: 2 });
    expect(header).not.toHaveProperty('autoclear_features');
  });

  test('is shown even if nothing else can read it: unknown features, an offset above 2^53, impossible cluster bits', async () => {
    const image = await broken([72, 0x80], [40, 0xff], [23, 63]);
    const { header, refcounts } = await inspectImage(image);
    expect(header).toMatchObject({ cluster_bits: 63, incompatible_features: '0x8000000000000000' });
    expect(header!['l1_table_offset']).toMatch(/^0xff0000/);
    expect(refcounts).toBeNull();
  });
});

test('known extensions are shown by their fields, and others by their first bytes', async () => {
  const start = (await readFile(fixture('chain/base.qcow2'))).readUInt32BE(100);
  const names = async (image: string) => {
    const { extensions } = await inspectImage(image, { parts: ['extensions'] });
    return extensions!.list.map(({ name, offset, fields, data }) => ({ name, offset, fields, data }));
  };
  expect(await names(fixture('chain/base.qcow2'))).toEqual([
    {
      name: 'feature name table',
      offset: start,
      fields: expect.objectContaining({ 'incompatible bit 0': 'dirty bit', 'autoclear bit 0': 'bitmaps' }),
      data: null,
    },
    {
      name: 'bitmaps',
      offset: expect.any(Number),
      fields: expect.objectContaining({ nb_bitmaps: 1 }),
      data: null,
    },
  ]);
  const [unknown] = await names(await broken([start, 0x11]));
  expect(unknown).toMatchObject({ name: null, fields: {}, data: expect.stringMatching(/^0000/) });
});

describe('the bitmap directory', () => {
  test('is null in an image without bitmaps', async () => {
    const { directory } = await inspectImage(fixture('chain/overlay.qcow2'));
    expect(directory).toBeNull();
  });

  test('shows the stored values of an entry that breaks the format', async () => {
    const { directory: sound } = await inspectImage(fixture('chain/base.qcow2'), { parts: ['directory'] });
    const { offset } = sound!;
    expect(sound!.entries).toMatchObject([
      { offset, name: 'checkpoint-2026-11-01', fields: { flags: 2, type: 1, granularity_bits: 16 } },
    ]);
    const { directory } = await inspectImage(await broken([offset + 15, 0x86], [offset + 17, 77]));
    expect(directory!.entries[0]!.fields).toMatchObject({ flags: 0x86, granularity_bits: 77 });
  });

  test('shows where an entry is cut off', async () => {
    const { directory: sound } = await inspectImage(fixture('chain/base.qcow2'), { parts: ['directory'] });
    const { offset } = sound!;
    const { directory } = await inspectImage(await broken([offset + 18, 0xff]));
    expect(directory).toEqual({ offset, entries: [], cutOffAt: offset });
  });
});

describe('refcounts', () => {
  test.each(['refcount-bits-1', 'refcount-bits-8', 'refcount-bits-64', 'v3-default'])(
    'of %s include every cluster of the file once',
    async (name) => {
      const image = fixture(`images/${name}/disk.qcow2`);
      const { refcounts, header, fileBytes } = await inspectImage(image);
      const clusters = Math.ceil(fileBytes / 2 ** Number(header!['cluster_bits']));
      let next = 0;
      for (const { firstCluster, clusters: count } of refcounts!.blocks.flatMap(({ runs }) => runs!)) {
        expect(firstCluster).toBe(next);
        next = firstCluster + count;
      }
      expect(next).toBe(clusters);
      expect(refcounts!.blocks[0]!.runs![0]).toMatchObject({ firstCluster: 0, refcount: 1 });
    },
  );

  test('do not include a block beyond the end of the file, which is named', async () => {
    const table = await beU64(fixture('chain/base.qcow2'), 48);
    const { refcounts } = await inspectImage(await broken([table + 2, 0x7f]));
    expect(refcounts).toMatchObject({ blocks: [{ index: 0, runs: null }], isComplete: true });
  });

  test('without order are listed up to a limit', async () => {
    const image = await broken();
    const block = await beU64(image, await beU64(image, 48));
    const bytes = await readFile(image);
    for (let index = 0; index < 32768; index++) bytes.writeUInt16BE((index % 2) + 1, block + index * 2);
    await writeFile(image, bytes);
    const { refcounts } = await inspectImage(image, { parts: ['refcounts'] });
    expect(refcounts!.blocks[0]!.runs).toHaveLength(10_000);
    expect(refcounts!.isComplete).toBe(false);
  });
});

test('a file that is truncated after its first sector is shown as far as possible', async () => {
  const image = await broken();
  await truncate(image, 512);
  expect(await inspectImage(image)).toMatchObject({ fileBytes: 512, directory: null, refcounts: null });
});

test('a file that is not qcow2 is refused with its format', async () => {
  const image = join(await scratchFolder(), 'disk.vdi');
  await writeFile(image, Buffer.from('KDMV'.padEnd(512, '\0')));
  await expect(inspectImage(image)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: `${image}: not a qcow2 image, but vmdk`,
  });
});
