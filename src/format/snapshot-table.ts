/**
 * Parses internal snapshots ("Snapshots" in the specification), only to find their clusters.
 */
import { alignUp } from '../bytes/align.ts';
import { OffsetTooLargeError, struct } from '../bytes/struct.ts';
import { type HostOffset, hostOffset } from './addresses.ts';
import { FormatError, hex } from './format-error.ts';
import { type Header, L1_ENTRY_BYTES, MAX_L1_TABLE_BYTES } from './header.ts';

/** QEMU's QCOW_MAX_SNAPSHOTS_SIZE, in bytes. */
export const MAX_SNAPSHOT_TABLE_BYTES = 64 * 1024 * 1024;

const entryStruct = struct({
  l1TableOffset: [0, 'offset'],
  l1Size: [8, 'u32'],
  idSize: [12, 'u16'],
  nameSize: [14, 'u16'],
  dateSeconds: [16, 'u32'],
  dateNanoseconds: [20, 'u32'],
  guestClock: [24, 'u64'],
  vmStateSize: [32, 'u32'],
  extraDataSize: [36, 'u32'],
});

interface Snapshot {
  readonly l1TableOffset: HostOffset;
  readonly l1EntryCount: number;
}

export interface SnapshotTable {
  readonly snapshots: readonly Snapshot[];
  readonly sizeBytes: number;
}

/**
 * @param bytes the bytes from `snapshots_offset` on
 * @returns undefined when the table continues after `bytes`
 * @throws FormatError when an entry breaks the specification
 */
export function parseSnapshotTable(bytes: Uint8Array, header: Header): SnapshotTable | undefined {
  const snapshots: Snapshot[] = [];
  let at = 0;
  for (let index = 0; index < header.snapshotCount; index++) {
    if (at + entryStruct.sizeBytes > bytes.length) return undefined;
    const entry = readEntry(bytes, at, index);
    const { l1TableOffset, l1Size } = entry;
    if (l1TableOffset % header.clusterSizeBytes !== 0 || l1Size * L1_ENTRY_BYTES > MAX_L1_TABLE_BYTES) {
      throw new FormatError(
        `snapshot table entry ${index}: L1 table of ${l1Size} entries at ${hex(l1TableOffset)} is unaligned or larger than ${MAX_L1_TABLE_BYTES} bytes`,
        { remedy: (file) => ({ kind: 'check-and-repair', file, dropsOutdated: false }) },
      );
    }
    snapshots.push({ l1TableOffset: hostOffset(l1TableOffset), l1EntryCount: l1Size });
    const end = at + entryStruct.sizeBytes + entry.extraDataSize + entry.idSize + entry.nameSize;
    // The padding of the last entry may be missing: QEMU ends a file without it.
    if (end > bytes.length) return undefined;
    at = alignUp(end, 8);
    if (at > MAX_SNAPSHOT_TABLE_BYTES) {
      throw new FormatError(`snapshot table: more than ${MAX_SNAPSHOT_TABLE_BYTES} bytes`);
    }
  }
  return { snapshots, sizeBytes: at };
}

function readEntry(bytes: Uint8Array, at: number, index: number) {
  try {
    return entryStruct.read(bytes, at);
  } catch (error) {
    if (!(error instanceof OffsetTooLargeError)) throw error;
    throw new FormatError(`snapshot table entry ${index}: ${error.message}`);
  }
}
