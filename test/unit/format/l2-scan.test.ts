/**
 * The fast scan of an L2 table, in TypeScript and in WebAssembly, agrees with the readable decoder or leaves the table to it.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { guestOffset } from '../../../src/format/addresses.ts';
import { type Header, l2EntriesPerTable, subclustersPerCluster } from '../../../src/format/header.ts';
import { contentMask } from '../../../src/format/l2-entry.ts';
import { kernelArrays } from '../../../src/format/l2-kernel.ts';
import { scanL2Tables } from '../../../src/format/l2-scan.ts';
import { readL2Entry } from '../../../src/format/l2-table.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { type Random, seededRandom } from '../../support/random.ts';
import { soundCluster } from './sound-cluster.ts';
import { geometry, parsedHeader } from './stored-header.ts';

const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;

interface TestedTable {
  header: Header;
  table: Uint8Array;
  hostClusterCount: number;
}

interface Answer {
  allocated: Uint8Array;
  /** Host clusters named; the header's cluster is always among them. */
  referenced: Uint8Array;
}

interface DecodedTable extends Answer {
  /** Nothing is compressed, beyond the end of the file, or broken. */
  plain: boolean;
  /** Nothing is beyond the end of the file or broken. */
  usable: boolean;
}

/** What the decoder says, entry by entry. */
function decoded({ header, table, hostClusterCount }: TestedTable): DecodedTable {
  const units = subclustersPerCluster(header);
  const entryCount = table.length / (header.hasExtendedL2 ? 16 : 8);
  const allocated = new Uint8Array((entryCount * units) / 8);
  const referenced = new Uint8Array(Math.ceil(hostClusterCount / 8));
  const refer = (cluster: number) => {
    if (cluster < hostClusterCount) referenced[cluster >> 3]! |= 1 << (cluster & 7);
  };
  refer(0);
  let plain = true;
  let usable = true;
  for (let index = 0; index < entryCount; index++) {
    const words = readL2Entry(table, index, header);
    const cluster = soundCluster(words, guestOffset(index * header.clusterSizeBytes), header);
    if (cluster === undefined) {
      plain = false;
      usable = false;
      continue;
    }
    const mask = contentMask(cluster, 'allocated', header);
    for (let unit = 0; unit < units; unit++) {
      const at = index * units + unit;
      if (((mask >>> unit) & 1) === 1) allocated[at >> 3]! |= 1 << (at & 7);
    }
    if (cluster.kind === 'unallocated' || cluster.hostOffset === undefined) continue;
    const first = Math.floor(cluster.hostOffset / header.clusterSizeBytes);
    if (first >= hostClusterCount) usable = false;
    if (first >= hostClusterCount || cluster.kind === 'compressed') plain = false;
    refer(first);
  }
  return { plain, usable, allocated, referenced };
}

type Twin = 'plain arrays' | 'kernel arrays';

const MOST_HOST_CLUSTERS = 5000;
/** Zeros behind what receives the answer, which must stay zeros. */
const GUARD_BYTES = 4096;
const ZEROS = Buffer.alloc(MOST_HOST_CLUSTERS + GUARD_BYTES);

const spaces = new Map<string, Uint8Array[]>();

/** Arrays to scan in, one for each of the lengths, all zeros; used again and again, as a memory takes its time. */
function arraysFor(twin: Twin, ...lengths: number[]): Uint8Array[] {
  const key = `${twin} ${lengths}`;
  const make = () =>
    twin === 'kernel arrays' ? kernelArrays(...lengths) : lengths.map((n) => new Uint8Array(n));
  const arrays = spaces.get(key) ?? make();
  spaces.set(key, arrays);
  for (const array of arrays) array.fill(0);
  return arrays;
}

function scanned(
  { header, table, hostClusterCount }: TestedTable,
  twin: Twin,
): Answer & { plain: boolean; strayed: boolean } {
  const entryCount = table.length / (header.hasExtendedL2 ? 16 : 8);
  const [copy, allocated, rest] = arraysFor(
    twin,
    table.length,
    (entryCount * subclustersPerCluster(header)) / 8,
    Math.ceil(MOST_HOST_CLUSTERS / 8) + GUARD_BYTES,
  ) as [Uint8Array, Uint8Array, Uint8Array];
  copy.set(table);
  allocated.fill(0xa5);
  // 4-aligned is all that is asked of an ordinary array.
  const stored = twin === 'kernel arrays' ? copy : table;
  const referenced = rest.subarray(0, Math.ceil(hostClusterCount / 8));
  const plain = scanL2Tables(stored, header, { allocated, referenced, hostClusterCount });
  const guard = rest.subarray(referenced.length);
  const strayed = !ZEROS.subarray(0, guard.length).equals(guard) || Buffer.compare(copy, table) !== 0;
  return { plain, allocated, referenced: referenced.slice(), strayed };
}

/** The disagreements of the pass with the decoder. Plain comparisons, since there are many thousands of them. */
function disagreements(tested: TestedTable): string[] {
  const wanted = decoded(tested);
  return (['plain arrays', 'kernel arrays'] as const).flatMap((twin) => {
    const found = scanned(tested, twin);
    found.referenced[0]! |= 1; // Tables without a hole do not name the header.
    const isSame = (answer: keyof Answer) => Buffer.compare(found[answer], wanted[answer]) === 0;
    // If the pass gave up, it may have noted a part, but nothing that the decoder does not name.
    const isPart = () => found.referenced.every((byte, index) => (byte & ~wanted.referenced[index]!) === 0);
    const holds = {
      plain: found.plain === wanted.plain,
      'writes inside its arrays': !found.strayed,
      allocated: !wanted.plain || isSame('allocated'),
      referenced: wanted.plain ? isSame('referenced') : !wanted.usable || isPart(),
    };
    return Object.entries(holds).flatMap(([rule, isHeld]) => (isHeld ? [] : [`${twin}: ${rule}`]));
  });
}

function expectAgreement(tested: TestedTable): void {
  const found = disagreements(tested);
  if (found.length > 0) expect(found).toEqual([]);
}

type Entry = readonly [entry: bigint, bitmap: bigint];

/** A host cluster inside the file, as an offset. */
function inside(random: Random, { header, hostClusterCount }: Omit<TestedTable, 'table'>): bigint {
  const cluster = random.chance(0.1) ? hostClusterCount - 1 : random.between(1, hostClusterCount - 1);
  return BigInt(cluster) * BigInt(header.clusterSizeBytes);
}

const anyWord = (random: Random) => BigInt(random.below(2 ** 32));
const copied = (random: Random) => (random.chance(0.7) ? COPIED : 0n);

function plainEntry(random: Random, place: Omit<TestedTable, 'table'>): Entry {
  const offset = () => inside(random, place) | copied(random);
  if (!place.header.hasExtendedL2) {
    return random.pick<() => Entry>([
      () => [0n, 0n],
      () => [copied(random), 0n],
      () => [offset(), 0n],
      () => [offset(), 0n],
      () => [offset() | 1n, 0n],
      () => [1n, 0n],
    ])();
  }
  const data = anyWord(random);
  const zeros = anyWord(random) & ~data & 0xffffffffn;
  return random.pick<() => Entry>([
    () => [0n, 0n],
    () => [0n, anyWord(random) << 32n],
    () => [offset(), 0xffffffffn],
    () => [offset(), (zeros << 32n) | data],
    () => [offset(), data],
    () => [offset(), zeros << 32n],
    () => [offset(), 0n],
  ])();
}

/** Everything that is not for the fast pass to judge. */
function oddEntry(random: Random, place: Omit<TestedTable, 'table'>): Entry {
  const { header, hostClusterCount } = place;
  const [entry, bitmap] = plainEntry(random, place);
  const offset = inside(random, place);
  const clusterSize = BigInt(header.clusterSizeBytes);
  const beyond = BigInt(hostClusterCount + random.below(1000)) * clusterSize;
  const farBeyond = ((1n << BigInt(random.between(40, 55))) / clusterSize) * clusterSize;
  const choices: (() => Entry)[] = [
    () => [entry | (1n << BigInt(random.between(56, 61))), bitmap],
    () => [entry | (1n << BigInt(random.between(1, 8))), bitmap],
    () => [offset | (1n << BigInt(random.below(header.clusterBits))), 0xffffn],
    () => [beyond | copied(random), 0n],
    () => [farBeyond | copied(random), 0n],
    () => [farBeyond | offset, 0n],
    // What is left of its cluster number in 32 bits is in the file.
    () => [((1n << 32n) * clusterSize) | offset, 0n],
    () => [COMPRESSED | (offset + BigInt(random.below(header.clusterSizeBytes))), 0n],
    () => [COMPRESSED | ((anyWord(random) << 30n) ^ anyWord(random)), 0n],
    () => [(anyWord(random) << 32n) | anyWord(random), (anyWord(random) << 32n) | anyWord(random)],
  ];
  if (header.hasExtendedL2) {
    const bit = 1n << BigInt(random.below(32));
    choices.push(
      () => [offset, (bit << 32n) | bit],
      () => [offset, 0xffffffffffffffffn],
      () => [0n, bit],
      () => [copied(random), 0xffffffffn],
      () => [entry | 1n, bitmap],
      () => [COMPRESSED | offset, bit],
      () => [COMPRESSED | offset, bit << 32n],
    );
  }
  return random.pick(choices)();
}

function storeEntry({ header, table }: TestedTable, index: number, [entry, bitmap]: Entry): void {
  const data = new DataView(table.buffer, table.byteOffset);
  const at = index * (header.hasExtendedL2 ? 16 : 8);
  data.setBigUint64(at, entry);
  if (header.hasExtendedL2) data.setBigUint64(at + 8, bitmap);
}

function plainTable(random: Random, header: Header, entryCount: number): TestedTable {
  const bytes = entryCount * (header.hasExtendedL2 ? 16 : 8);
  // 4-aligned is what callers promise; 8-aligned is more.
  const table = new Uint8Array(bytes + 12).subarray(4 * random.below(3)).subarray(0, bytes);
  const tested = { header, table, hostClusterCount: random.between(2, MOST_HOST_CLUSTERS) };
  const share = random.pick([0, 0.1, 0.5, 1]);
  const entryAt = random.chance(0.5) ? () => plainEntry(random, tested) : rowOfEntries(random, tested);
  for (let index = 0; index < entryCount; index++) {
    if (random.chance(share)) storeEntry(tested, index, entryAt());
  }
  return tested;
}

/** Host clusters one after the other, as a disk gets them that is written from its start to its end; now and then not. */
function rowOfEntries(random: Random, place: Omit<TestedTable, 'table'>): () => Entry {
  const { header, hostClusterCount } = place;
  let cluster = random.below(hostClusterCount);
  const step = () => random.pick([0, 1, 1, 2, 7, 8, 9, 64, 65536, -1, -cluster]);
  return () => {
    cluster += random.chance(0.03) ? step() : 1;
    if (cluster < 1 || cluster >= hostClusterCount) cluster = 1;
    const offset = BigInt(cluster) * BigInt(header.clusterSizeBytes);
    return random.chance(0.01) ? plainEntry(random, place) : [offset | copied(random), 0xffffffffn];
  };
}

const layouts = [
  ...Array.from({ length: 13 }, (_, index) => ({ clusterBits: 9 + index, extended: false })),
  ...Array.from({ length: 8 }, (_, index) => ({ clusterBits: 14 + index, extended: true })),
].map((layout) => ({
  ...layout,
  name: `${2 ** layout.clusterBits} bytes${layout.extended ? ', extended L2 entries' : ''}`,
  header: geometry(layout.clusterBits, layout.extended),
}));

const anySeed = fc.integer();

describe.each(layouts)('clusters of $name', ({ header }) => {
  const mostEntries = Math.min(l2EntriesPerTable(header), 128);
  const entryCounts = [8, 64, mostEntries].filter((count) => count <= mostEntries);
  const tableOf = (random: Random) => plainTable(random, header, random.pick(entryCounts));

  test('a table of plain entries is scanned with the result of the decoder', () => {
    fc.assert(
      fc.property(anySeed, (seed) => {
        const tested = tableOf(seededRandom(seed));
        expectEqual(decoded(tested).plain, true);
        expectAgreement(tested);
      }),
      { numRuns: 60 },
    );
  });

  test('a table with a compressed, broken or distant entry is left to the decoder', () => {
    fc.assert(
      fc.property(anySeed, (seed) => {
        const random = seededRandom(seed);
        const tested = tableOf(random);
        const entryCount = tested.table.length / (header.hasExtendedL2 ? 16 : 8);
        for (let count = random.between(1, 4); count > 0; count--) {
          storeEntry(tested, random.below(entryCount), oddEntry(random, tested));
        }
        // The end of the file may cut a row short, too.
        if (random.chance(0.3)) tested.hostClusterCount = random.between(2, tested.hostClusterCount);
        expectAgreement(tested);
      }),
      { numRuns: 150 },
    );
  });

  test('one flipped bit at any position changes both results alike', () => {
    fc.assert(
      fc.property(anySeed, (seed) => {
        const random = seededRandom(seed);
        // The kernel takes eight entries at a time. More entries would only be decoded again for each flip.
        const tested = plainTable(random, header, random.pick([8, 24]));
        for (let flips = 0; flips < 20; flips++) {
          const bit = random.below(tested.table.length * 8);
          tested.table[bit >> 3]! ^= 1 << (bit & 7);
          expectAgreement(tested);
          tested.table[bit >> 3]! ^= 1 << (bit & 7);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('every single flipped bit of a data entry changes both results alike', () => {
    const tested = { header, table: new Uint8Array(header.hasExtendedL2 ? 128 : 64), hostClusterCount: 900 };
    for (const bitmap of [0n, 0x0000ffffn, 0xffff00000000ffffn]) {
      const entry = COPIED | BigInt(5 * header.clusterSizeBytes);
      storeEntry(tested, 3, [entry, bitmap]);
      for (let bit = 0n; bit < 128n; bit++) {
        const flipped: Entry =
          bit < 64n ? [entry ^ (1n << bit), bitmap] : [entry, bitmap ^ (1n << (bit - 64n))];
        storeEntry(tested, 3, flipped);
        expectAgreement(tested);
      }
    }
  });
});

test('a whole table of the largest clusters is scanned with the result of the decoder', () => {
  for (const extended of [false, true]) {
    const header = geometry(21, extended);
    const random = seededRandom(21);
    const tested = plainTable(random, header, l2EntriesPerTable(header));
    storeEntry(tested, l2EntriesPerTable(header) - 1, plainEntry(random, tested));
    expectAgreement(tested);
    storeEntry(tested, l2EntriesPerTable(header) - 1, [COMPRESSED, 0n]);
    expectAgreement(tested);
  }
});

test('a row of clusters may end with the last cluster of the file, and no later', () => {
  const header = geometry(16, false);
  for (const entryCount of [8, 64, 72]) {
    // The row goes on to the end of the table, or is followed by another one.
    for (const rowLength of [entryCount, entryCount - 8, entryCount - 3]) {
      const table = new Uint8Array(entryCount * 8);
      const tested = { header, table, hostClusterCount: 500 + rowLength };
      for (let index = 0; index < entryCount; index++) {
        const cluster = index < rowLength ? 500 + index : 1 + index;
        storeEntry(tested, index, [BigInt(cluster) * 65536n, 0n]);
      }
      expectAgreement(tested);
      expectAgreement({ ...tested, hostClusterCount: tested.hostClusterCount - 1 });
    }
  }
});

test.each([
  { clusterBits: 15, offsetBits: 40 },
  { clusterBits: 21, offsetBits: 48 },
])('a row of clusters of 2^$clusterBits bytes is scanned on both sides of offset 2^$offsetBits', (bits) => {
  const header = geometry(bits.clusterBits, false);
  const border = 2 ** (bits.offsetBits - bits.clusterBits);
  const hostClusterCount = border + 40;
  const [table, allocated, referenced] = kernelArrays(512, 8, Math.ceil(hostClusterCount / 8)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const tested = { header, table, hostClusterCount };
  // The low bits of the first ones after the border continue at cluster 24, and those before it at cluster 0.
  const rows = [border - 8, border + 8, border + 16, 24, border - 9, 1, 9];
  for (const [row, first] of rows.entries()) {
    for (let index = 0; index < 8; index++) {
      storeEntry(tested, row * 8 + index, [BigInt(first + index) * BigInt(header.clusterSizeBytes), 0n]);
    }
  }
  expect(scanL2Tables(table, header, { allocated, referenced, hostClusterCount })).toBe(true);
  referenced[0]! |= 1;
  const wanted = decoded(tested);
  expect(allocated).toEqual(wanted.allocated);
  expect(Buffer.compare(referenced, wanted.referenced)).toBe(0);
});

describe.each([false, true])('a table of extended entries: %s', (extended) => {
  const header = geometry(16, extended);
  const tableOf = (cluster: number): TestedTable => {
    const tested = { header, table: new Uint8Array(extended ? 128 : 64), hostClusterCount: 900 };
    storeEntry(tested, 3, [BigInt(cluster) * 65536n, 1n]);
    return tested;
  };

  test.each(['plain arrays', 'kernel arrays'] as const)(
    'may refer to the last cluster of the file: %s',
    (twin) => {
      expect(scanned(tableOf(899), twin).plain).toBe(true);
      expect(scanned(tableOf(900), twin).plain).toBe(false);
      expect(scanned(tableOf(901), twin).plain).toBe(false);
    },
  );

  test('is scanned with the same result if only some arrays belong to a kernel', () => {
    const tested = tableOf(899);
    const wanted = decoded(tested);
    const units = wanted.allocated.length;
    const references = wanted.referenced.length;
    for (const own of ['allocated', 'referenced', 'neither']) {
      const [table, one, other] = kernelArrays(tested.table.length, units, references) as [
        Uint8Array,
        Uint8Array,
        Uint8Array,
      ];
      table.set(tested.table);
      const allocated = own === 'allocated' ? one : new Uint8Array(units);
      const referenced = own === 'referenced' ? other : new Uint8Array(references);
      expect(scanL2Tables(table, header, { allocated, referenced, hostClusterCount: 900 }), own).toBe(true);
      expect(allocated, own).toEqual(wanted.allocated);
      expect(referenced, own).toEqual(wanted.referenced);
    }
  });

  test('does not change the bytes after the arrays', () => {
    const { table, hostClusterCount } = tableOf(5);
    const allocated = new Uint8Array(extended ? 33 : 2).fill(0xa5);
    scanL2Tables(table, header, { allocated, referenced: new Uint8Array(113), hostClusterCount });
    expect(allocated.at(-1)).toBe(0xa5);
  });
});

test.each([
  ['an image with an external data file', parsedHeader({ incompatible_features: 1n << 2n })],
  ['a version 2 image', parsedHeader({ version: 2 })],
])('%s has other rules and is always left to the decoder', (_, header) => {
  const allocated = new Uint8Array(1);
  const scan = { allocated, referenced: new Uint8Array(13), hostClusterCount: 100 };
  expect(scanL2Tables(new Uint8Array(64), header, scan)).toBe(false);
});
