/**
 * Reads a bitmap directory by QEMU's rules, and a broken one as far as possible.
 */
import { alignDown } from '../bytes/align.ts';
import { counted } from '../text/counted.ts';
import { type HostOffset, hostOffset } from './addresses.ts';
import {
  type BitmapDirectoryEntry,
  bitmapTableEntryCount,
  DIRTY_TRACKING_BITMAP,
  entryStruct,
  FLAG_AUTO,
  FLAG_IN_USE,
  isGranularity,
  MAX_BITMAP_BYTES,
  MAX_BITMAP_NAME_BYTES,
  MAX_GRANULARITY_BITS,
  MIN_GRANULARITY_BITS,
  readStoredEntry,
  type StoredEntry,
  storedName,
} from './bitmap-directory.ts';
import { type BitmapRule, refusal, type Violation } from './bitmap-rules.ts';
import { type BitmapDirectoryLocation, MAX_BITMAPS, type PossibleDirectory } from './bitmaps-extension.ts';
import { hex } from './format-error.ts';
import type { Header } from './header.ts';

/** An entry of a directory that may be broken. */
export interface ExaminedEntry {
  readonly index: number;
  /** The offset in the image. */
  readonly offset: HostOffset;
  /**
   * Undefined if the entry does not end within the examined bytes. Also undefined if it ends beyond the
   * directory and sound entries follow it. Fields that break a rule are as stored.
   */
  readonly entry: BitmapDirectoryEntry | undefined;
  readonly violations: readonly Violation[];
}

export interface ExaminedDirectory {
  readonly entries: readonly ExaminedEntry[];
  /** The violations of the entries and of the directory as a whole. */
  readonly violations: readonly Violation[];
}

/**
 * @param bytes the directory, `location.sizeBytes` long
 * @throws FormatError for anything that makes QEMU refuse the image
 */
export function parseBitmapDirectory(
  bytes: Uint8Array,
  location: BitmapDirectoryLocation,
  header: Header,
): BitmapDirectoryEntry[] {
  const { entries, violations } = examineBitmapDirectory(bytes, location, header);
  if (violations.length > 0) throw refusal(violations[0]!);
  return entries.map(({ entry }) => entry!);
}

/**
 * Reads a directory as far as possible. An entry without violations lies within the bitmap count and the size
 * in the extension. Later bytes may be left over from an older directory.
 *
 * @param bytes the bytes from `location.offset` on, possibly more than the directory
 */
export function examineBitmapDirectory(
  bytes: Uint8Array,
  { offset = hostOffset(0), bitmapCount, sizeBytes }: PossibleDirectory,
  header: Header,
): ExaminedDirectory {
  const entries: ExaminedEntry[] = [];
  const violations: Violation[] = [];
  const names = new Set<string>();
  const count = bitmapCount ?? MAX_BITMAPS;
  const end = sizeBytes ?? (bitmapCount === undefined ? 0 : bytes.length);
  const goesOn = (at: number): boolean => {
    if (at >= bytes.length || entries.length === MAX_BITMAPS) return false;
    if (sizeBytes === undefined) return entries.length < count;
    return at < sizeBytes || (bitmapCount !== undefined && entries.length < bitmapCount);
  };

  for (let at = 0; goesOn(at); ) {
    const where = `bitmap directory entry ${entries.length} at ${hex(offset + at)}`;
    let stored = readStoredEntry(bytes, at);
    let next = stored?.end;
    if (at < end && (next === undefined || next > end)) {
      const sound = nextSoundEntry(bytes, at, end, header);
      if (sound !== undefined) stored = undefined;
      next = sound ?? next;
    }
    const broken = stored === undefined ? [] : entryViolations(stored, header, where);
    // After the directory size in the extension, bytes count as an entry only if they keep all other rules.
    if (at >= end && (stored === undefined || broken.length > 0)) break;
    if (stored === undefined || stored.end > end) {
      broken.unshift(violation(where, 'entry-cut-off', 'cut off by the end of the directory'));
    }
    if (entries.length >= count) {
      broken.unshift(
        violation(where, 'directory-count', `the extension counts only ${counted(count, 'bitmap')}`),
      );
    }
    if (stored !== undefined) {
      const { name, inUse } = stored.entry;
      // An in-use entry may repeat a name, because QEMU reads nothing for it.
      const key = storedName(stored.entry);
      if (names.has(key) && !inUse) {
        broken.push(violation(where, 'duplicate-name', `"${name}" is the name of an earlier entry too`));
      }
      names.add(key);
    }
    entries.push({
      index: entries.length,
      offset: hostOffset(offset + at),
      entry: stored?.entry,
      violations: broken,
    });
    violations.push(...broken);
    if (next === undefined || isBlank(bytes, at)) break;
    at = next;
  }
  if (bitmapCount !== undefined && entries.length < bitmapCount) {
    violations.push(
      violation(
        `bitmap directory at ${hex(offset)}`,
        'directory-count',
        `${counted(entries.length, 'entry', 'entries')} found, the extension counts ${bitmapCount}`,
      ),
    );
  }
  return { entries, violations };
}

function entryViolations({ entry, raw }: StoredEntry, header: Header, place: string): Violation[] {
  const where = `${place} ("${entry.name}")`;
  const violations: Violation[] = [];
  const must = (kept: boolean, rule: BitmapRule, what: string): void => {
    if (!kept) violations.push(violation(where, rule, what));
  };
  const { granularityBits, tableEntryCount } = entry;
  const { extraDataSize, flags, type, nameSize } = raw;
  const granularityKnown = isGranularity(granularityBits);
  must(
    extraDataSize === 0,
    'entry-extra-data',
    `extra_data_size is ${extraDataSize}, must be 0 (QEMU knows no extra data)`,
  );
  must(
    (flags & ~(FLAG_IN_USE | FLAG_AUTO)) === 0,
    'entry-flags',
    `flags are ${hex(flags)}, only bits 0 and 1 may be set`,
  );
  must(
    type === DIRTY_TRACKING_BITMAP,
    'entry-type',
    `type is ${type}, must be ${DIRTY_TRACKING_BITMAP} (dirty tracking bitmap)`,
  );
  must(
    granularityKnown,
    'entry-granularity',
    `granularity_bits is ${granularityBits}, must be ${MIN_GRANULARITY_BITS}…${MAX_GRANULARITY_BITS}`,
  );
  // The specification requires a name, but QEMU opens an image with an empty one.
  must(
    nameSize <= MAX_BITMAP_NAME_BYTES,
    'entry-name-size',
    `name_size is ${nameSize}, must be at most ${MAX_BITMAP_NAME_BYTES}`,
  );
  must(
    raw.bitmapTableOffset !== 0n && raw.bitmapTableOffset % BigInt(header.clusterSizeBytes) === 0n,
    'entry-table-offset',
    `bitmap_table_offset is ${hex(raw.bitmapTableOffset)}, must be a multiple of the cluster size and not 0`,
  );
  const sizeIsPossible = tableEntryCount > 0 && tableEntryCount * header.clusterSizeBytes <= MAX_BITMAP_BYTES;
  must(
    sizeIsPossible,
    'entry-table-size',
    `bitmap_table_size is ${tableEntryCount}, must stand for 1…${MAX_BITMAP_BYTES} bytes`,
  );
  if (sizeIsPossible && granularityKnown && !entry.inUse) {
    const needed = bitmapTableEntryCount(header.virtualSizeBytes, granularityBits, header);
    must(
      tableEntryCount === needed,
      'entry-table-mismatch',
      `bitmap_table_size is ${tableEntryCount}, must be ${needed} for this disk`,
    );
  }
  return violations;
}

/** Finds the first entry after one with a wrong length from which all entries up to `end` keep every rule. */
function nextSoundEntry(bytes: Uint8Array, at: number, end: number, header: Header): number | undefined {
  const leadsToEnd = new Set([end]);
  let first: number | undefined;
  for (let start = alignDown(Math.min(end, bytes.length), 8) - 8; start > at; start -= 8) {
    const stored = readStoredEntry(bytes, start);
    if (stored === undefined || !leadsToEnd.has(stored.end)) continue;
    if (entryViolations(stored, header, '').length > 0) continue;
    leadsToEnd.add(start);
    first = start;
  }
  return first;
}

/** Whether the entry is all zeros. Then no entry was ever stored here or after it. */
function isBlank(bytes: Uint8Array, at: number): boolean {
  return bytes.subarray(at, at + entryStruct.sizeBytes).every((byte) => byte === 0);
}

function violation(where: string, rule: BitmapRule, what: string): Violation {
  return { rule, message: `${where}: ${what} (spec: "Bitmap directory")` };
}
