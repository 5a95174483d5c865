/** Headers with different layouts of their extensions, and their states after a cut. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import { encodeBitmapsPayload } from '../../../src/format/bitmaps-extension.ts';
import { type Image, openImage } from '../../../src/image/image.ts';
import type { Step } from '../../../src/plan/plan.ts';
import { memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';

export const BITMAPS = 0x23852875;
const SECTOR = 512;

export interface HeaderLayout {
  clusterBits: number;
  /** Extensions in their order: 'bitmaps', 'emptied' (all zeros), or the length of an unknown one. */
  extensions: readonly ('bitmaps' | 'emptied' | number)[];
  /** Bytes between the end marker and the name; undefined: no backing file. */
  nameGap?: number | undefined;
  nameLength?: number;
  live: boolean;
  unknownAutoclear?: boolean;
}

export const oldDirectory = { bitmapCount: 2, offset: hostOffset(0x10000), sizeBytes: 64 };
export const newDirectory = { bitmapCount: 3, offset: hostOffset(0x20000), sizeBytes: 0x3210fe8 };

/** undefined where the layout does not fit into the header cluster. */
export function layOut(layout: HeaderLayout): Uint8Array | undefined {
  const { clusterBits, extensions, nameGap, nameLength = 11, live, unknownAutoclear = false } = layout;
  const parts = extensions.map((extension, index) => {
    const data =
      typeof extension === 'number'
        ? Buffer.alloc(extension, 0xe0 + index)
        : Buffer.from(extension === 'bitmaps' ? encodeBitmapsPayload(oldDirectory) : new Uint8Array(24));
    const frame = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8);
    frame.writeUInt32BE(typeof extension === 'number' ? 0x0badca00 + index : BITMAPS, 0);
    frame.writeUInt32BE(data.length, 4);
    frame.set(data, 8);
    return frame;
  });
  const area = Buffer.concat([...parts, Buffer.alloc(8)]);
  const nameOffset = 104 + area.length + (nameGap ?? 0);
  const end = nameGap === undefined ? 104 + area.length : nameOffset + nameLength;
  if (end > 2 ** clusterBits) return undefined;
  const bytes = storedHeader({
    cluster_bits: clusterBits,
    autoclear_features: (live ? 1n : 0n) | (unknownAutoclear ? 1n << 40n : 0n),
    ...(nameGap === undefined ? {} : { backing_file_offset: nameOffset, backing_file_size: nameLength }),
  });
  bytes.set(area, 104);
  if (nameGap !== undefined) bytes.fill(0x6e, nameOffset, nameOffset + nameLength);
  return bytes;
}

export const open = (bytes: Uint8Array) => openImage(memoryStorage(bytes));

/** What QEMU takes from the header: it ignores an extension while the bit is clear. */
export function meaning({ bitmaps, backing, extensions, header }: Image) {
  return {
    bitmaps: bitmaps.kind === 'live' ? bitmaps.directory : 'none',
    backing: backing?.name,
    others: extensions.list
      .filter(({ type }) => type !== BITMAPS)
      .map(({ type, data }) => `${type.toString(16)}: ${Buffer.from(data).toString('hex')}`),
    header: { ...header, backingFileOffset: 0, autoclearFeatures: 0n },
  };
}

/** The writes as what a device stores: pieces that do not cross a sector. */
function pieces(writes: readonly Step[]): { offset: number; bytes: Uint8Array }[] {
  return writes.flatMap((step) => {
    if (step.kind !== 'write') return [];
    const found: { offset: number; bytes: Uint8Array }[] = [];
    for (let done = 0; done < step.bytes.length; ) {
      const offset = step.offset + done;
      const length = Math.min(SECTOR - (offset % SECTOR), step.bytes.length - done);
      found.push({ offset, bytes: step.bytes.subarray(done, done + length) });
      done += length;
    }
    return found;
  });
}

/** Every content that a cut may leave, from the first step to the last; the last one is that after all steps. */
export function* cuts(initial: Uint8Array, steps: readonly Step[]): Generator<Uint8Array> {
  let stable = initial.slice();
  let unflushed: Step[] = [];
  for (const step of steps) {
    if (step.kind === 'write') {
      unflushed.push(step);
      continue;
    }
    const parts = pieces(unflushed);
    for (let subset = 0; subset < 2 ** parts.length; subset++) {
      const bytes = stable.slice();
      parts.forEach((part, index) => {
        if ((subset >> index) & 1) bytes.set(part.bytes, part.offset);
      });
      yield bytes;
      if (subset === 2 ** parts.length - 1) stable = bytes;
    }
    unflushed = [];
  }
  expect(unflushed).toEqual([]);
}

export const anyLayout: fc.Arbitrary<HeaderLayout> = fc
  .record({
    clusterBits: fc.constantFrom(9, 10, 12),
    before: fc.array(fc.integer({ min: 0, max: 420 }), { maxLength: 2 }),
    slots: fc.constantFrom<('bitmaps' | 'emptied')[]>(
      [],
      [],
      ['bitmaps'],
      ['bitmaps'],
      ['emptied'],
      ['bitmaps', 'bitmaps'],
    ),
    after: fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 1 }),
    nameGap: fc.option(fc.constantFrom(0, 0, 8, 33, 100), { nil: undefined }),
    nameLength: fc.integer({ min: 1, max: 120 }),
    unknownAutoclear: fc.boolean(),
  })
  .map(({ before, slots, after, ...rest }) => ({
    ...rest,
    extensions: [...before, ...slots, ...after],
    live: slots.includes('bitmaps'),
  }));
