/** The parts of the snapshot table that show which clusters belong to snapshots. */
import { describe, expect, test } from 'vitest';
import { parseSnapshotTable } from '../../../src/format/snapshot-table.ts';
import { parsedHeader } from './stored-header.ts';

interface StoredSnapshot {
  l1Offset: bigint;
  l1Size: number;
  extra?: number;
  id?: string;
  name?: string;
}

function stored(...snapshots: StoredSnapshot[]): Buffer {
  return Buffer.concat(
    snapshots.map(({ l1Offset, l1Size, extra = 16, id = '1', name = 'first' }) => {
      const bytes = Buffer.alloc(Math.ceil((40 + extra + id.length + name.length) / 8) * 8);
      bytes.writeBigUInt64BE(l1Offset, 0);
      bytes.writeUInt32BE(l1Size, 8);
      bytes.writeUInt16BE(id.length, 12);
      bytes.writeUInt16BE(name.length, 14);
      bytes.writeUInt32BE(extra, 36);
      return bytes;
    }),
  );
}

const header = (count: number) => parsedHeader({ nb_snapshots: count, snapshots_offset: 0x50000 });

describe('the snapshot table', () => {
  test('has entries of any length, each padded to 8 bytes', () => {
    const bytes = stored(
      { l1Offset: 0x60000n, l1Size: 1 },
      { l1Offset: 0x70000n, l1Size: 9, extra: 0, id: '22', name: 'a longer name' },
      { l1Offset: 0x80000n, l1Size: 0, extra: 33, id: '', name: '' },
    );
    expect(parseSnapshotTable(bytes, header(3))).toEqual({
      snapshots: [
        { l1TableOffset: 0x60000, l1EntryCount: 1 },
        { l1TableOffset: 0x70000, l1EntryCount: 9 },
        { l1TableOffset: 0x80000, l1EntryCount: 0 },
      ],
      sizeBytes: bytes.length,
    });
  });

  test('is requested again if it continues after the read bytes', () => {
    const bytes = stored({ l1Offset: 0x60000n, l1Size: 1 }, { l1Offset: 0x70000n, l1Size: 1 });
    // Each entry has 62 bytes and two of padding.
    for (const length of [0, 39, 40, 61, 63, 64, 64 + 39, 64 + 61]) {
      expect(parseSnapshotTable(bytes.subarray(0, length), header(2))).toBeUndefined();
    }
    expect(parseSnapshotTable(bytes, header(2))?.snapshots).toHaveLength(2);
  });

  test('may end without the padding of its last entry at the end of a file', () => {
    const bytes = stored({ l1Offset: 0x60000n, l1Size: 1 }, { l1Offset: 0x70000n, l1Size: 1 });
    expect(parseSnapshotTable(bytes.subarray(0, 64 + 62), header(2))?.snapshots).toHaveLength(2);
  });

  test('may end with an entry without id, name and extra data', () => {
    const bytes = stored({ l1Offset: 0x60000n, l1Size: 1, extra: 0, id: '', name: '' });
    expect(bytes).toHaveLength(40);
    expect(parseSnapshotTable(bytes, header(1))?.snapshots).toHaveLength(1);
  });

  test('may refer to an L1 table of 32 MiB, and have 64 MiB', () => {
    const bytes = stored({ l1Offset: 0x60000n, l1Size: 2 ** 22, extra: 64 * 2 ** 20 - 40, id: '', name: '' });
    expect(parseSnapshotTable(bytes, header(1))).toEqual({
      snapshots: [{ l1TableOffset: 0x60000, l1EntryCount: 2 ** 22 }],
      sizeBytes: 64 * 2 ** 20,
    });
  });

  test.each<[string, StoredSnapshot, string]>([
    [
      'an unaligned L1 table',
      { l1Offset: 0x60200n, l1Size: 1 },
      'snapshot table entry 1: L1 table of 1 entries at 0x60200 is unaligned',
    ],
    [
      'an L1 table above 32 MiB',
      { l1Offset: 0x60000n, l1Size: 2 ** 22 + 1 },
      'snapshot table entry 1: L1 table of 4194305 entries',
    ],
    [
      'an L1 table beyond 2^53',
      { l1Offset: 1n << 60n, l1Size: 1 },
      'snapshot table entry 1: l1TableOffset is 0x1000000000000000',
    ],
  ])('is refused with %s', (_, snapshot, complaint) => {
    const bytes = stored({ l1Offset: 0x60000n, l1Size: 1 }, snapshot);
    expect(() => parseSnapshotTable(bytes, header(2))).toThrow(complaint);
  });

  test('is refused above 64 MiB', () => {
    const bytes = stored({ l1Offset: 0x60000n, l1Size: 1, extra: 64 * 1024 * 1024 });
    expect(() => parseSnapshotTable(bytes, header(1))).toThrow('snapshot table: more than 67108864 bytes');
  });
});
