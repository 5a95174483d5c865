/** The new directory: what stays in place, what is replaced, and what is added. */
import { expect, test } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import type { BitmapDirectoryEntry } from '../../../src/format/bitmap-directory.ts';
import { keep, store, storeNew, withStores } from '../../../src/plan/bitmap-slot.ts';
import { clean, mixed } from './planned-change.ts';

const entry = (nameBytes: Uint8Array, inUse = false): BitmapDirectoryEntry => ({
  name: new TextDecoder().decode(nameBytes),
  nameBytes,
  granularityBits: 9,
  auto: true,
  inUse,
  tableOffset: hostOffset(0),
  tableEntryCount: 0,
});
const named = (name: string, inUse?: boolean) => entry(Buffer.from(name), inUse);

test('a stored bitmap takes the place of the present one of its name, and a new one comes at the end', () => {
  const [a, b] = [named('a'), named('b')];
  const [newA, c, d] = [store(a, mixed), storeNew('c', true, clean), storeNew('d', false, clean)];
  expect(withStores([a, b], [d, newA, c])).toEqual([newA, keep(b), d, c]);
});

test('a bitmap in use that repeats the name of an earlier one stays', () => {
  const [a, repeated] = [named('a'), named('a', true)];
  expect(withStores([a, repeated], [store(a, mixed)])).toEqual([store(a, mixed), keep(repeated)]);
});

test('names that are not UTF-8 and decode alike are different names', () => {
  const [one, other] = [entry(Uint8Array.of(0xfe)), entry(Uint8Array.of(0xff))];
  expect(one.name).toBe(other.name);
  expect(withStores([one, other], [store(other, mixed)])).toEqual([keep(one), store(other, mixed)]);
});

test('a new name is stored in UTF-8', () => {
  expect(storeNew('ä', true, clean)).toEqual({
    kind: 'store',
    name: 'ä',
    nameBytes: Uint8Array.of(0xc3, 0xa4),
    auto: true,
    bitmap: clean,
  });
});
