/**
 * Examines an image as QEMU would: whether it opens, its disk, its bitmaps and its refcounts.
 *
 * A second opinion: it shares no code with the tool, and `qemu-img` is asked whether it agrees.
 */
import { readBitmaps, type StoredBitmap } from './bitmaps.ts';
import { type GuestData, GuestDataReader } from './guest-data.ts';
import { type ImageHeader, readHeader } from './header.ts';
import { checkRefcounts, leaksBeyond, StoredRefcounts } from './refcounts.ts';
import { References } from './references.ts';
import { Unopenable } from './unopenable.ts';

export type { StoredBitmap } from './bitmaps.ts';

export interface OpenedImage {
  opens: true;
  bytes: Uint8Array;
  header: ImageHeader;
  guest: GuestData;
  bitmaps: StoredBitmap[];
  /** What is wrong beyond a leak: too low refcounts, clusters with two owners or beyond the file. */
  errors: string[];
  /** Clusters of the file that are lost until a check finds them. */
  leaks: number[];
  /** These and the same beyond the end of the file, which QEMU does not report. */
  allLeaks(): number[];
}

export interface UnopenableImage {
  opens: false;
  reason: string;
}

export function examine(bytes: Uint8Array): OpenedImage | UnopenableImage {
  try {
    return open(bytes);
  } catch (error) {
    if (error instanceof Unopenable) return { opens: false, reason: error.message };
    throw error;
  }
}

/** For an image that is to be fine. */
export function examineOpenable(bytes: Uint8Array): OpenedImage {
  const image = examine(bytes);
  if (!image.opens) throw new Error(`the image does not open: ${image.reason}`);
  return image;
}

function open(bytes: Uint8Array): OpenedImage {
  const header = readHeader(bytes);
  const references = new References(bytes, header);
  const refcounts = new StoredRefcounts(bytes, header);
  references.add('header', 0, header.clusterBytes);
  if (header.encryption !== undefined) {
    references.add('encryption header', header.encryption.offset, header.encryption.sizeBytes);
  }
  const guestReader = new GuestDataReader(bytes, header, references, refcounts);
  const guest = guestReader.read();
  if (header.encryption !== undefined) {
    const { offset, sizeBytes } = header.encryption;
    guest.ranges.push({ start: offset, end: offset + sizeBytes });
  }
  const bitmaps = readBitmaps(bytes, header, references);
  const { errors, leaks } = checkRefcounts(header, refcounts, references);
  return {
    opens: true,
    bytes,
    header,
    guest,
    bitmaps,
    errors: [...guestReader.errors, ...references.errors, ...errors],
    leaks,
    allLeaks: () => [...leaks, ...leaksBeyond(references.clusterCount, refcounts)],
  };
}
