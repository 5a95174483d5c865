/** The switch of the header: the old or the new set of bitmaps at every moment, and no other change. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeBitmapsPayload } from '../../../src/format/bitmaps-extension.ts';
import { openImage } from '../../../src/image/image.ts';
import { planHeaderSwitch } from '../../../src/plan/header-switch.ts';
import { flush } from '../../../src/plan/plan.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';
import {
  anyLayout,
  BITMAPS,
  cuts,
  type HeaderLayout,
  layOut,
  meaning,
  newDirectory,
  oldDirectory,
  open,
} from './header-layouts.ts';

describe('a switch of the header', () => {
  test('shows the old or the new set after a cut at any moment, with any of its unflushed sectors', async () => {
    let planned = 0;
    await fc.assert(
      fc.asyncProperty(anyLayout, fc.boolean(), async (layout, removes) => {
        const initial = layOut(layout);
        if (initial === undefined) return;
        const image = await open(initial);
        if (removes && image.bitmaps.kind !== 'live') return;
        const before = meaning(image);
        const wanted = removes ? undefined : newDirectory;
        let plan: ReturnType<typeof planHeaderSwitch>;
        try {
          plan = planHeaderSwitch(image, wanted && encodeBitmapsPayload(wanted));
        } catch (error) {
          expect(error).toMatchObject({ code: 'NO_ROOM' });
          return;
        }
        planned++;
        const after = { ...before, bitmaps: wanted ?? 'none' };
        const { first, prepare, commit, after: tidying } = plan;
        let last = initial;
        for (const bytes of cuts(initial, [...first, ...prepare, flush('what is new'), ...commit])) {
          const now = meaning(await open(bytes));
          if (!isDeepStrictEqual(now, before)) expectEqual(now, after);
          last = bytes;
        }
        expectEqual(meaning(await open(last)), after);
        for (const bytes of cuts(last, tidying)) {
          expectEqual(meaning(await open(bytes)), after);
          last = bytes;
        }
        const final = await open(last);
        expect(final.bitmaps.kind).toBe(removes ? 'none' : 'live');
        expect(final.header.autoclearFeatures).toBe(removes ? 0n : 1n);
      }),
      { numRuns: 1500 },
    );
    expect(planned).toBeGreaterThan(500);
  });

  const kinds = ({ first, prepare, commit, after }: ReturnType<typeof planHeaderSwitch>) =>
    [first, prepare, commit, after].map((steps) => steps.map(({ kind, reason }) => `${kind} ${reason}`));
  const plan = async (
    layout: Partial<HeaderLayout>,
    directory: typeof newDirectory | undefined = newDirectory,
  ) => {
    const bytes = layOut({ clusterBits: 12, extensions: [], live: false, ...layout });
    return planHeaderSwitch(await open(bytes!), directory && encodeBitmapsPayload(directory));
  };
  const removal = async (layout: Partial<HeaderLayout>) => {
    const bytes = layOut({ clusterBits: 12, extensions: [], live: true, ...layout });
    return planHeaderSwitch(await open(bytes!), undefined);
  };

  test('is one write if it changes a single sector', async () => {
    const [first, , commit, after] = kinds(await plan({ nameGap: 0 }));
    expect([first, after]).toEqual([[], []]);
    expect(commit).toEqual([
      'write header: bitmaps extension and autoclear bit 0, in one sector',
      'flush the header',
    ]);
  });

  test('first clears the unknown autoclear bits', async () => {
    const [first] = kinds(await plan({ unknownAutoclear: true }));
    expect(first).toEqual(['write autoclear_features without unknown bits', 'flush autoclear_features']);
  });

  test('adds a first extension in this order: its tail with the new clusters, its head, the bit', async () => {
    const [, prepare, commit] = kinds(await plan({ extensions: [400] }));
    expect(prepare).toEqual(['write payload and new end marker, behind the old end marker']);
    expect(commit).toEqual([
      'write bitmaps extension in place of the end marker',
      'flush the bitmaps extension',
      'write autoclear bit 0: the bitmaps are consistent',
      'flush the header',
    ]);
  });

  test('adds the head and the bit at once if the end marker is in the first sector', async () => {
    const [, prepare, commit] = kinds(await plan({ extensions: [384] }));
    expect(prepare).toEqual(['write payload and new end marker, behind the old end marker']);
    expect(commit).toEqual([
      'write autoclear bit 0 and the bitmaps extension, in one sector',
      'flush the header',
    ]);
  });

  test('copies the backing file name and switches to the copy before it writes the extension', async () => {
    const [, prepare, commit] = kinds(await plan({ extensions: [400], nameGap: 0 }));
    expect(prepare).toEqual(['write backing file name, a copy at its new place']);
    expect(commit?.slice(0, 3)).toEqual([
      'write backing_file_offset',
      'flush backing_file_offset',
      'write payload and new end marker, behind the old end marker',
    ]);
  });

  test('overwrites a payload within one sector, even if other extensions follow', async () => {
    const [, , commit, after] = kinds(await plan({ extensions: [500, 'bitmaps', 600, 16], live: true }));
    expect(commit).toEqual(['write bitmaps extension', 'flush the bitmaps extension']);
    expect(after).toEqual([]);
  });

  test('overrules a payload in two sectors by a later extension', async () => {
    const [, prepare, commit, after] = kinds(await plan({ extensions: [384, 'bitmaps'], live: true }));
    expect(prepare).toEqual(['write payload and new end marker, behind the old end marker']);
    expect(commit).toEqual([
      'write bitmaps extension in place of the end marker',
      'flush the bitmaps extension',
    ]);
    expect(after).toEqual([
      'write bitmaps extension, overruled by the later one',
      'flush the bitmaps extension',
      'write end marker over the later bitmaps extension',
      'flush the end marker',
    ]);
  });

  test('fills an extension that was emptied, and then sets the bit', async () => {
    const [, , commit] = kinds(await plan({ extensions: [500, 'emptied', 8] }));
    expect(commit?.filter((step) => step.startsWith('write'))).toEqual([
      'write bitmaps extension, still without autoclear bit 0',
      'write autoclear bit 0: the bitmaps are consistent',
    ]);
  });

  test('removes the last extension by the bit, and then writes an end marker over it', async () => {
    const [, , commit, after] = kinds(await removal({ extensions: [500, 'bitmaps'] }));
    expect(commit).toEqual(['write autoclear bit 0 cleared: no bitmaps', 'flush autoclear bit 0']);
    expect(after).toEqual(['write end marker over the bitmaps extension', 'flush the header extensions']);
  });

  test('empties an extension if others follow', async () => {
    const [, , , after] = kinds(await removal({ extensions: [500, 'bitmaps', 8] }));
    expect(after).toEqual(['write bitmaps extension emptied', 'flush the header extensions']);
  });

  test.each<[string, Partial<HeaderLayout>]>([
    ['without a backing file', {}],
    ['with a backing file name right behind', { nameGap: 0 }],
    ['behind another extension', { extensions: [100], nameGap: 8 }],
  ])('in one sector gives the header the layout of QEMU, %s', async (_, layout) => {
    const all = { clusterBits: 12, extensions: [], live: false, ...layout };
    const bytes = layOut(all)!;
    const { commit } = await plan(layout);
    for (const step of commit) if (step.kind === 'write') bytes.set(step.bytes, step.offset);
    const extensions = [...all.extensions, 'bitmaps'] as const;
    const moved = all.nameGap === undefined ? {} : { nameGap: 0 };
    const expected = layOut({ ...all, extensions, live: true, ...moved })!;
    const payloadAt =
      104 + all.extensions.reduce<number>((sum, each) => sum + 8 + Math.ceil(Number(each) / 8) * 8, 8);
    expected.set(encodeBitmapsPayload(newDirectory), payloadAt);
    const end = payloadAt + 24 + 8 + (all.nameGap === undefined ? 0 : 11);
    expect(bytes.slice(0, end)).toEqual(expected.slice(0, end));
  });

  test('in one sector may move a backing file name to the end of the header cluster', async () => {
    const [, , commit] = kinds(await plan({ clusterBits: 9, nameGap: 0, nameLength: 368 }));
    expect(commit?.[0]).toBe('write header: bitmaps extension and autoclear bit 0, in one sector');
  });

  test('overwrites a payload that ends with its sector', async () => {
    const [, , commit] = kinds(await plan({ extensions: [368, 'bitmaps', 600, 16], live: true }));
    expect(commit).toEqual(['write bitmaps extension', 'flush the bitmaps extension']);
  });

  test('adds the head and the bit at once if the end marker ends with the first sector', async () => {
    const [, , commit] = kinds(await plan({ extensions: [392] }));
    expect(commit?.[0]).toBe('write autoclear bit 0 and the bitmaps extension, in one sector');
  });

  test('continues after a cut that left a later extension over a payload in two sectors', async () => {
    const [, , commit] = kinds(await plan({ extensions: [352, 'bitmaps', 'bitmaps'], live: true }));
    expect(commit).toEqual([
      'write bitmaps extension, still overruled by a later one',
      'flush the bitmaps extension',
      'write end marker over the later bitmaps extension',
      'flush the end marker',
    ]);
  });

  /** As `openImage` takes it to repair it. */
  const broken = async (layout: Partial<HeaderLayout>, edit: (bytes: Uint8Array) => void) => {
    const bytes = layOut({ clusterBits: 12, extensions: [], live: true, ...layout })!;
    edit(bytes);
    const image = await openImage(memoryStorage(bytes), 'lenient');
    expect(image.bitmaps.kind).toBe('broken');
    return kinds(planHeaderSwitch(image, encodeBitmapsPayload(newDirectory)));
  };

  test('hides bitmaps with a wrong length until the change is complete', async () => {
    const [, , commit] = await broken({ extensions: [384, 'bitmaps'] }, (bytes) => {
      bytes[496 + 7] = 16;
    });
    expect(commit).toEqual([
      'write autoclear bit 0 cleared: no bitmaps',
      'flush autoclear bit 0',
      'write length of a bitmaps extension not in view',
      'flush the length of the bitmaps extension',
      'write bitmaps extension, still without autoclear bit 0',
      'flush the bitmaps extension',
      'write autoclear bit 0: the bitmaps are consistent',
      'flush autoclear bit 0',
    ]);
  });

  test('overwrites the only payload directly if QEMU refuses it', async () => {
    const [, , commit] = await broken({ extensions: [500, 'bitmaps', 600, 16] }, (bytes) => {
      // No bitmap at all.
      bytes.fill(0, 104 + 8 + 504 + 8, 104 + 8 + 504 + 12);
    });
    expect(commit).toEqual(['write bitmaps extension', 'flush the bitmaps extension']);
  });

  test('removes bitmaps from an image of version 2, and adds none', async () => {
    const bytes = storedHeader({ version: 2, cluster_bits: 12 });
    const extension = Buffer.alloc(32);
    extension.writeUInt32BE(BITMAPS, 0);
    extension.writeUInt32BE(24, 4);
    extension.set(encodeBitmapsPayload(oldDirectory), 8);
    bytes.set(extension, 72);
    const image = await open(bytes);
    expect(kinds(planHeaderSwitch(image, undefined))).toEqual([
      [],
      [],
      ['write end marker over the bitmaps extension', 'flush the header extensions'],
      [],
    ]);
    expect(() => planHeaderSwitch(image, encodeBitmapsPayload(newDirectory))).toThrow('version 2');
  });

  test('is refused if the extensions fill the cluster without an end marker', async () => {
    const bytes = storedHeader({ cluster_bits: 9, size: 512 });
    const extension = Buffer.alloc(408, 0xee);
    extension.writeUInt32BE(0x0badca00, 0);
    extension.writeUInt32BE(400, 4);
    bytes.set(extension, 104);
    const image = await open(bytes);
    expect(() => planHeaderSwitch(image, encodeBitmapsPayload(newDirectory))).toThrow(
      expect.objectContaining({ code: 'NO_ROOM', message: expect.stringContaining('no end marker') }),
    );
  });

  test.each<[string, Partial<HeaderLayout>, RegExp]>([
    [
      'the extensions fill the cluster',
      { clusterBits: 9, extensions: [380] },
      /header cluster of 512 bytes: the header extensions fill it/,
    ],
    [
      'the backing file name cannot be moved',
      { clusterBits: 9, extensions: [200], nameGap: 0, nameLength: 180 },
      /the backing file name of 180 bytes is in the way and cannot be moved safely/,
    ],
  ])('is refused if %s', async (_, layout, complaint) => {
    await expect(plan(layout)).rejects.toMatchObject({
      code: 'NO_ROOM',
      message: expect.stringMatching(complaint),
    });
  });
});
