/** The judge of maps accepts the same answer in other extents, and nothing else. */
import { describe, expect, test } from 'vitest';
import {
  allocationAbove,
  coverageFaults,
  mapDisagreements,
  ownAllocation,
} from '../../support/map-answers.ts';
import type { MapExtent } from '../../support/qemu.ts';

const chain = [
  { format: 'qcow2', encrypted: false },
  { format: 'raw', encrypted: false },
] as const;

const data = { depth: 0, present: true, zero: false, data: true };
const compressed = { ...data, compressed: true };
const hole = { depth: 1, present: true, zero: true, data: false };

const qemu: MapExtent[] = [
  { start: 0, length: 8192, ...data, offset: 65536 },
  { start: 8192, length: 4096, ...data },
  { start: 12288, length: 4096, ...hole, offset: 12288 },
];

const ours: MapExtent[] = [
  { start: 0, length: 4096, ...data, compressed: false, offset: 65536 },
  { start: 4096, length: 4096, ...data, compressed: false, offset: 69632 },
  { start: 8192, length: 4096, ...compressed },
  { start: 12288, length: 4096, ...hole, zero: false, data: true, compressed: false },
];

describe('the judge of maps', () => {
  test('accepts the same answer in other extents, whatever it says about holes in a raw layer', () => {
    expect(mapDisagreements(ours, qemu, chain)).toEqual([]);
    expect(coverageFaults(ours, 16384)).toEqual([]);
  });

  test.each<[string, number, Partial<MapExtent>]>([
    ['another depth', 3, { depth: 0 }],
    ['another presence', 3, { present: false }],
    ['zeros for data', 0, { zero: true }],
    ['no data', 1, { data: false }],
    ['another place in the file', 1, { offset: 65536 }],
    ['uncompressed data', 2, { compressed: false }],
    ['compressed data', 0, { compressed: true }],
  ])('refuses %s', (_, index, change) => {
    const wrong = ours.map((extent, at) => (at === index ? { ...extent, ...change } : extent));
    expect(mapDisagreements(wrong, qemu, chain)).toHaveLength(1);
  });

  test('refuses data at a known place without an offset', () => {
    const { offset: _, ...nowhere } = ours[0]!;
    expect(mapDisagreements([nowhere, ...ours.slice(1)], qemu, chain)).toEqual([
      '0x0 +4096: offset is undefined, QEMU says 65536',
    ]);
  });

  test('accepts zeros for data if QEMU itself reports both', () => {
    const preallocated = [{ start: 0, length: 4096, ...data, zero: true, offset: 65536 }];
    const answer = [{ start: 0, length: 4096, ...data, compressed: false, offset: 65536 }];
    expect(mapDisagreements(answer, preallocated, chain)).toEqual([]);
  });

  test('finds gaps, overlaps and a wrong end', () => {
    expect(coverageFaults([{ start: 512, length: 512 }], 1024)).toHaveLength(1);
    expect(
      coverageFaults(
        [
          { start: 0, length: 1024 },
          { start: 512, length: 512 },
        ],
        1024,
      ),
    ).toHaveLength(1);
    expect(coverageFaults([{ start: 0, length: 512 }], 1024)).toHaveLength(1);
  });

  test('distinguishes the allocation of the top from that of the layers above a base', () => {
    const map: MapExtent[] = [
      { start: 0, length: 512, ...data },
      { start: 512, length: 512, ...data, depth: 1 },
      { start: 1024, length: 512, ...hole, present: false },
    ];
    expect(ownAllocation(map)).toEqual([{ start: 0, length: 512 }]);
    expect(allocationAbove(map, 2)).toEqual([{ start: 0, length: 1024 }]);
  });
});
