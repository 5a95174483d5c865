/** The main job on copies of the committed images: new bitmaps of their allocation, compared with QEMU's map. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  createFrom,
  listBitmaps,
  type MapExtent,
  mapAllocation,
  removeBitmaps,
  repairCheckpoints,
} from '../../../src/index.ts';
import { normalised, roundedOut } from '../../support/extents.ts';
import { ownAllocation } from '../../support/map-answers.ts';
import {
  caseNamed,
  cases,
  demo,
  dirty,
  expectedOfDemo,
  type GoldenCase,
  imagePath,
  writableCopy,
} from './cases.ts';
import { dumpExtents } from './dump-extents.ts';

const checkpoint = 'checkpoint-2026-11-01';

describe('the demo chain', () => {
  test('gets the bitmap that the overlay lacks, with the granularity of the base', async () => {
    const overlay = await writableCopy(demo);
    const base = join(dirname(overlay), 'base.qcow2');
    const before = await readFile(base);

    const result = await createFrom(overlay, { kind: 'allocated' });

    expect(result.inheritedFrom).toBe(base);
    expect(result.bitmaps).toMatchObject([
      { name: checkpoint, action: 'created', granularity: 65536, enabled: true },
    ]);
    const wanted = expectedOfDemo['overlay.qcow2']![checkpoint]!;
    expect(await dumpExtents(overlay, checkpoint)).toEqual(wanted);
    expect(result.bitmaps[0]?.dirtyBytes).toBe(dirty(wanted).reduce((sum, { length }) => sum + length, 0));
    expect(Buffer.compare(await readFile(base), before)).toBe(0);
  });

  test('is not changed by a dry run, which reports the same result', async () => {
    const overlay = await writableCopy(demo);
    const before = await readFile(overlay);
    const dry = await createFrom(overlay, { kind: 'allocated' }, { dryRun: true });
    expect(Buffer.compare(await readFile(overlay), before)).toBe(0);

    const done = await createFrom(overlay, { kind: 'allocated' });
    expect(dry.bitmaps).toEqual(done.bitmaps);
    expect(dry.plan?.newEndOffset).toBe((await stat(overlay)).size);
    expect(dry.plan?.bytesWritten).toBe(done.plan?.bytesWritten);
  });

  test('gets no bitmap with an empty name, which QEMU opens and the specification forbids', async () => {
    const overlay = await writableCopy(demo);
    const base = join(dirname(overlay), 'base.qcow2');
    const bytes = (await readFile(base, 'latin1')).replaceAll(checkpoint, '\0'.repeat(checkpoint.length));
    await writeFile(base, bytes, 'latin1');
    expect(await listBitmaps(base)).toMatchObject({ bitmaps: [{ name: '' }] });

    const before = await readFile(overlay);
    expect(await createFrom(overlay, { kind: 'allocated' })).toMatchObject({ bitmaps: [], plan: null });
    expect(await repairCheckpoints([overlay])).toMatchObject({ disks: [{ checkpoints: [], unclear: [] }] });
    expect(Buffer.compare(await readFile(overlay), before)).toBe(0);
  });

  test('needs no change the second time', async () => {
    const overlay = await writableCopy(demo);
    await createFrom(overlay, { kind: 'allocated' });
    const before = await readFile(overlay);
    const again = await createFrom(overlay, { kind: 'allocated' });
    expect(again).toMatchObject({ bitmaps: [], kept: [{ name: checkpoint, missingBytes: 0 }], plan: null });
    expect(Buffer.compare(await readFile(overlay), before)).toBe(0);
  });
});

async function wholeMap(path: string): Promise<MapExtent[]> {
  const extents: MapExtent[] = [];
  for await (const batch of mapAllocation(path, { layer: true })) extents.push(...batch);
  return extents;
}

/** Why an image cannot be written, by its case's name. */
const unwritable: Record<string, string> = {
  v2: 'UNSUPPORTED',
  'v2-overlay': 'UNSUPPORTED',
  'lazy-refcounts-killed': 'NEEDS_CHECK',
  'marked-corrupt': 'NEEDS_CHECK',
  'bitmap-autoclear-cleared': 'BITMAP_INCONSISTENT',
};
const writable = cases.filter(({ name }) => !(name in unwritable));
const create = (path: string, granularity?: number) =>
  createFrom(path, { kind: 'allocated' }, { names: ['new'], granularity });

describe.each(writable)('$name', (golden: GoldenCase) => {
  test.each([512, 65536])(
    'gets a bitmap of its allocation at a granularity of %i, without any other change',
    async (granularity) => {
      const path = await writableCopy(golden);
      const before = { map: await wholeMap(path), list: (await listBitmaps(path)).bitmaps };

      await create(path, granularity);

      const marked = normalised(dirty(await dumpExtents(path, 'new')));
      const diskSize = golden.info[0]!['virtual-size'];
      expect(marked).toEqual(roundedOut(ownAllocation(golden.map), granularity, diskSize));
      expect(await wholeMap(path)).toEqual(before.map);
      const { bitmaps } = await listBitmaps(path);
      expect(bitmaps.slice(0, -1)).toEqual(before.list);
      expect(bitmaps.at(-1)).toMatchObject({ name: 'new', granularity, flags: ['auto'] });
      for (const [name, extents] of Object.entries(golden.bitmaps[golden.top] ?? {})) {
        expect(await dumpExtents(path, name)).toEqual(extents);
      }
    },
  );

  test('is the same as before after the new bitmap is removed', async () => {
    const path = await writableCopy(golden);
    const had = (await listBitmaps(path)).bitmaps;
    await create(path);
    await removeBitmaps(path, ['new']);
    expect((await listBitmaps(path)).bitmaps).toEqual(had);
    expect(await wholeMap(path)).toEqual(await wholeMap(imagePath(golden)));
  });
});

describe('an image is not written if', () => {
  test.each(Object.entries(unwritable))('%s: %s', async (name, code) => {
    const path = await writableCopy(caseNamed(name));
    const before = await readFile(path);
    await expect(create(path)).rejects.toMatchObject({ name: 'RefusedError', code });
    expect(Buffer.compare(await readFile(path), before)).toBe(0);
  });
});
