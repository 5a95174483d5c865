import fc from 'fast-check';
import { expect, test } from 'vitest';
import { guestOffset } from '../../../src/format/addresses.ts';
import {
  hasPlainEntries,
  isPlain,
  oddBits,
  plainHostOffset,
  plainIsZero,
} from '../../../src/format/l2-plain.ts';
import { soundCluster } from './sound-cluster.ts';
import { geometry } from './stored-header.ts';

/** Each bit by itself is rare enough that many entries are sound. */
const word = fc
  .tuple(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff), fc.nat(0xffff_ffff), fc.boolean())
  .map(([a, b, c, isDense]) => (isDense ? a : a & b & c) >>> 0);
const low = fc.oneof(
  word,
  word.map((value) => (value & 0xfff0_0001) >>> 0),
);

const headers = [{}, { version: 2 }].map((changes) =>
  Array.from({ length: 22 }, (_, clusterBits) =>
    clusterBits < 9 ? undefined : geometry(clusterBits, false, changes),
  ),
);

test('the decoder agrees with every plain entry, and every sound entry without compression is plain', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(
      fc.integer({ min: 9, max: 21 }),
      fc.nat(1),
      word,
      low,
      (clusterBits, version, high, lowWord) => {
        const header = headers[version]![clusterBits]!;
        const odd = oddBits(header);
        const words = { high, low: lowWord, zeroMask: 0, dataMask: 0 };
        const cluster = soundCluster(words, guestOffset(0), header);
        const isSound = cluster !== undefined && cluster.kind !== 'compressed';
        const plain = isPlain(high, lowWord, odd);
        if (!isSound || !plain) return plain === isSound;
        seen.add(cluster.kind);
        const host = plainHostOffset(high, lowWord);
        const kind = plainIsZero(lowWord) ? 'zero' : host === 0 ? 'unallocated' : 'data';
        const wantedHost = cluster.kind === 'unallocated' ? 0 : (cluster.hostOffset ?? 0);
        return kind === cluster.kind && (kind === 'unallocated' || host === wantedHost);
      },
    ),
    {
      numRuns: 20_000,
      examples: [
        [16, 0, 0, 0],
        [16, 0, 0x8000_0000, 0x5_0000],
        [16, 0, 0, 1],
      ],
    },
  );
  expect(seen).toEqual(new Set(['unallocated', 'data', 'zero']));
});

test('no entry is plain with extended entries or an external data file', () => {
  const header = geometry(16);
  expect(hasPlainEntries(header)).toBe(true);
  expect(hasPlainEntries({ ...header, hasExtendedL2: true })).toBe(false);
  expect(hasPlainEntries({ ...header, hasDataFile: true })).toBe(false);
});
