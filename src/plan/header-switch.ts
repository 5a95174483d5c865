/**
 * Changes the bitmaps extension of the header so that at every moment the header has the old or the new state.
 *
 * A device stores single sectors whole. So each step that QEMU can see lies within one sector, and everything else
 * is written where nothing points yet, and flushed, before.
 */
import { alignDown, alignUp } from '../bytes/align.ts';
import { bitmapsExtensionStruct, isMisframed } from '../format/bitmaps-extension.ts';
import { AUTOCLEAR, KNOWN_AUTOCLEAR } from '../format/features.ts';
import { headerStruct } from '../format/header.ts';
import { EXTENSION_TYPE, extensionAreaEnd, extensionFrame } from '../format/header-extensions.ts';
import type { Image } from '../image/image.ts';
import { SECTOR_BYTES } from '../storage/storage.ts';
import { BACKING_FILE_OFFSET, moveBackingName, noRoom } from './header-room.ts';
import { flush, type Step, writeHeader } from './plan.ts';

export interface HeaderSwitch {
  /** Before anything else is written to the image. */
  readonly first: readonly Step[];
  /** Together with the clusters that the new payload points at: no reader sees these writes yet. */
  readonly prepare: readonly Step[];
  /** Once all that is stable; the last of them, a flush, makes the switch durable. */
  readonly commit: readonly Step[];
  /** Tidying once the switch is durable. */
  readonly after: readonly Step[];
}

const FRAME_BYTES = extensionFrame.sizeBytes;
const PAYLOAD_BYTES = bitmapsExtensionStruct.sizeBytes;
const EXTENSION_BYTES = FRAME_BYTES + PAYLOAD_BYTES;
const END_MARKER = new Uint8Array(FRAME_BYTES);
const AUTOCLEAR_OFFSET = headerStruct.byteOf('autoclearFeatures');

/**
 * @param payload the new content of the bitmaps extension; undefined when no bitmap is left
 * @throws RefusedError when the header cluster has no room for what this takes
 */
export function planHeaderSwitch(image: Image, payload: Uint8Array | undefined): HeaderSwitch {
  if (image.header.version === 2) return removalFromVersion2(image, payload);
  const first = clearUnknownAutoclear(image);
  const whole = withinOneSector(image, payload);
  if (whole !== undefined) return { first, prepare: [], commit: [whole, flush('the header')], after: [] };
  return { first, ...(payload === undefined ? removal(image) : replacement(image, payload)) };
}

/** Whoever writes to an image clears the autoclear bits it does not know (spec: "autoclear_features"). */
export function clearUnknownAutoclear({ header }: Image): Step[] {
  if ((header.autoclearFeatures & ~KNOWN_AUTOCLEAR) === 0n) return [];
  const known = header.autoclearFeatures & KNOWN_AUTOCLEAR;
  return [autoclear(known, 'autoclear_features without unknown bits'), flush('autoclear_features')];
}

function autoclear(value: bigint, reason: string): Step {
  return writeHeader(AUTOCLEAR_OFFSET, headerStruct.encodeField('autoclearFeatures', value), reason);
}

function withBitmapsBit({ header }: Image, set: boolean): bigint {
  const others = header.autoclearFeatures & KNOWN_AUTOCLEAR & ~AUTOCLEAR.bitmaps;
  return set ? others | AUTOCLEAR.bitmaps : others;
}

function bitmapsBit(image: Image, set: boolean): Step {
  const reason = set ? 'autoclear bit 0: the bitmaps are consistent' : 'autoclear bit 0 cleared: no bitmaps';
  return autoclear(withBitmapsBit(image, set), reason);
}

/**
 * Clears autoclear bit 0, and gives every bitmaps extension the length that it must have: then QEMU opens the image,
 * whatever the payloads are, and ignores its bitmaps.
 */
function hideBitmaps(image: Image): Step[] {
  return [bitmapsBit(image, false), flush('autoclear bit 0'), ...mendFrames(image)];
}

function mendFrames({ extensions }: Image): Step[] {
  const misframed = extensions.list.filter(isMisframed);
  if (misframed.length === 0) return [];
  return [
    ...misframed.map(({ offset }) =>
      writeHeader(offset, extensionHead(), 'length of a bitmaps extension not in view'),
    ),
    flush('the length of the bitmaps extension'),
  ];
}

/** Frames of bitmaps extensions, in their order; the last one counts. */
function slots({ extensions }: Image): number[] {
  return extensions.list.filter(({ type }) => type === EXTENSION_TYPE.bitmaps).map(({ offset }) => offset);
}

function straddles(offset: number, lengthBytes: number): boolean {
  return alignDown(offset, SECTOR_BYTES) !== alignDown(offset + lengthBytes - 1, SECTOR_BYTES);
}

/** QEMU would read the one extension that there is, if its payload were sound. */
function isShown({ header, extensions }: Image): boolean {
  const isSet = (header.autoclearFeatures & AUTOCLEAR.bitmaps) !== 0n;
  return isSet && !extensions.list.some(isMisframed);
}

/** Type and length of a bitmaps extension, which turn an end marker into one. */
function extensionHead(): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES);
  extensionFrame.write(bytes, { type: EXTENSION_TYPE.bitmaps, length: PAYLOAD_BYTES });
  return bytes;
}

// --- the whole change in one sector ---------------------------------------------------------------------------

/** The new header as QEMU would lay it out, if it differs from the old one in a single sector only. */
function withinOneSector(image: Image, payload: Uint8Array | undefined): Step | undefined {
  const wanted = idealHeader(image, payload);
  if (wanted === undefined) return undefined;
  const old = image.headerCluster;
  let start = 0;
  while (start < old.length && old[start] === wanted[start]) start++;
  let end = old.length;
  while (end > start && old[end - 1] === wanted[end - 1]) end--;
  if (start === end || straddles(start, end - start)) return undefined;
  return writeHeader(
    start,
    wanted.subarray(start, end),
    'header: bitmaps extension and autoclear bit 0, in one sector',
  );
}

function idealHeader(image: Image, payload: Uint8Array | undefined): Uint8Array | undefined {
  const { header, extensions, headerCluster } = image;
  const areaEnd = extensions.endMarkerOffset ?? extensionAreaEnd(header);
  const others = extensions.list.filter(({ type }) => type !== EXTENSION_TYPE.bitmaps);
  const bytes = headerCluster.slice();
  bytes.fill(0, header.headerLengthBytes, areaEnd);

  let at = header.headerLengthBytes;
  const put = (type: number, data: Uint8Array): boolean => {
    const end = at + FRAME_BYTES + alignUp(data.length, 8);
    if (end > bytes.length) return false;
    extensionFrame.write(bytes, { type, length: data.length }, at);
    bytes.fill(0, at + FRAME_BYTES, end);
    bytes.set(data, at + FRAME_BYTES);
    at = end;
    return true;
  };
  for (const { type, data } of others) put(type, data);
  if (payload !== undefined && !put(EXTENSION_TYPE.bitmaps, payload)) return undefined;
  if (!put(EXTENSION_TYPE.end, new Uint8Array(0))) return undefined;

  const { backingFileOffset, backingFileSizeBytes } = header;
  if (backingFileOffset !== 0 && backingFileOffset < at) {
    const name = headerCluster.subarray(backingFileOffset, backingFileOffset + backingFileSizeBytes);
    if (at + name.length > bytes.length) return undefined;
    bytes.set(name, at);
    bytes.set(headerStruct.encodeField('backingFileOffset', at), BACKING_FILE_OFFSET);
  }
  const autoclearFeatures = withBitmapsBit(image, payload !== undefined);
  bytes.set(headerStruct.encodeField('autoclearFeatures', autoclearFeatures), AUTOCLEAR_OFFSET);
  return bytes;
}

// --- a new payload --------------------------------------------------------------------------------------------

function replacement(image: Image, payload: Uint8Array): Omit<HeaderSwitch, 'first'> {
  const existing = slots(image);
  const live = existing.at(-1);
  if (live === undefined) return addition(image, payload);

  const payloadAt = live + FRAME_BYTES;
  const isWritable = !straddles(payloadAt, PAYLOAD_BYTES);
  if (isWritable && (image.bitmaps.kind === 'live' || (existing.length === 1 && isShown(image)))) {
    return {
      prepare: [],
      commit: [writeHeader(payloadAt, payload, 'bitmaps extension'), flush('the bitmaps extension')],
      after: [],
    };
  }
  if (image.bitmaps.kind !== 'live') {
    // Emptied by an earlier removal, or stale, or to be hidden since QEMU cannot read it: invisible until the bit is set.
    return {
      prepare: [],
      commit: [
        ...(image.bitmaps.kind === 'broken' ? hideBitmaps(image) : []),
        ...existing.map((slot) =>
          writeHeader(slot + FRAME_BYTES, payload, 'bitmaps extension, still without autoclear bit 0'),
        ),
        flush('the bitmaps extension'),
        bitmapsBit(image, true),
        flush('autoclear bit 0'),
      ],
      after: [],
    };
  }
  const earlier = existing.at(-2);
  if (earlier !== undefined && isLast(image, live)) {
    // What a cut left in the middle of the case below: the earlier one may be written, since the later counts.
    return {
      prepare: [],
      commit: [
        writeHeader(earlier + FRAME_BYTES, payload, 'bitmaps extension, still overruled by a later one'),
        flush('the bitmaps extension'),
        writeHeader(live, END_MARKER, 'end marker over the later bitmaps extension'),
        flush('the end marker'),
      ],
      after: [],
    };
  }
  // The payload cannot be changed at once. A second extension behind it overrules it (QEMU lets the last one win)
  // while it is rewritten, and goes again. Every mixture of the old and the new payload passes QEMU's checks, which
  // look at each field by itself.
  const { prepare, clear, endMarkerOffset } = behindEndMarker(image, payload);
  return {
    prepare,
    commit: [
      ...clear,
      writeHeader(endMarkerOffset, extensionHead(), 'bitmaps extension in place of the end marker'),
      flush('the bitmaps extension'),
    ],
    after: [
      writeHeader(payloadAt, payload, 'bitmaps extension, overruled by the later one'),
      flush('the bitmaps extension'),
      writeHeader(endMarkerOffset, END_MARKER, 'end marker over the later bitmaps extension'),
      flush('the end marker'),
    ],
  };
}

/** The image's first bitmaps extension. */
function addition(image: Image, payload: Uint8Array): Omit<HeaderSwitch, 'first'> {
  const { prepare, clear, endMarkerOffset } = behindEndMarker(image, payload);
  const head = extensionHead();
  const commit = [...clear];
  if (endMarkerOffset + FRAME_BYTES <= SECTOR_BYTES) {
    // The end marker and the autoclear bit are in the first sector: both change at once.
    const bytes = image.headerCluster.slice(AUTOCLEAR_OFFSET, endMarkerOffset + FRAME_BYTES);
    bytes.set(headerStruct.encodeField('autoclearFeatures', withBitmapsBit(image, true)));
    bytes.set(head, endMarkerOffset - AUTOCLEAR_OFFSET);
    commit.push(
      writeHeader(AUTOCLEAR_OFFSET, bytes, 'autoclear bit 0 and the bitmaps extension, in one sector'),
    );
  } else {
    commit.push(
      writeHeader(endMarkerOffset, head, 'bitmaps extension in place of the end marker'),
      flush('the bitmaps extension'),
      bitmapsBit(image, true),
    );
  }
  return { prepare, commit: [...commit, flush('the header')], after: [] };
}

/**
 * Writes a payload and a new end marker behind the end marker, which then can be made an extension at one stroke.
 *
 * @returns steps that nothing sees, and those that must follow them once they are stable
 */
function behindEndMarker(
  image: Image,
  payload: Uint8Array,
): { prepare: Step[]; clear: Step[]; endMarkerOffset: number } {
  const { endMarkerOffset } = image.extensions;
  if (endMarkerOffset === undefined) throw noRoom(image, 'the header extensions have no end marker');
  const tailOffset = endMarkerOffset + FRAME_BYTES;
  const tail = new Uint8Array(EXTENSION_BYTES);
  tail.set(payload);
  const put = writeHeader(tailOffset, tail, 'payload and new end marker, behind the old end marker');
  const move = moveBackingName(image, tailOffset + tail.length);
  if (move === undefined) return { prepare: [put], clear: [], endMarkerOffset };
  const { copy, change } = move;
  return {
    prepare: [copy],
    clear: [change, flush('backing_file_offset'), put, flush('the extension behind the end marker')],
    endMarkerOffset,
  };
}

// --- no bitmap left -------------------------------------------------------------------------------------------

function removal(image: Image): Omit<HeaderSwitch, 'first'> {
  return {
    prepare: [],
    commit: hideBitmaps(image),
    after: [...removalOfExtensions(image), flush('the header extensions')],
  };
}

/** What stands at the end is cut off; what others follow is emptied, which the clear bit keeps from view. */
function removalOfExtensions(image: Image): Step[] {
  const { list } = image.extensions;
  const lastOther = list.findLastIndex(({ type }) => type !== EXTENSION_TYPE.bitmaps);
  const cut = list[lastOther + 1];
  const steps = slots(image)
    .filter((slot) => cut === undefined || slot < cut.offset)
    .map((slot) =>
      writeHeader(slot + FRAME_BYTES, new Uint8Array(PAYLOAD_BYTES), 'bitmaps extension emptied'),
    );
  if (cut !== undefined)
    steps.push(writeHeader(cut.offset, END_MARKER, 'end marker over the bitmaps extension'));
  return steps;
}

/** An image of version 2 has no autoclear bits, so that a bitmaps extension in it is never seen: it can only go. */
function removalFromVersion2(image: Image, payload: Uint8Array | undefined): HeaderSwitch {
  if (payload !== undefined) throw new Error('a version 2 image cannot hold bitmaps');
  return {
    first: [],
    prepare: [],
    commit: [...mendFrames(image), ...removalOfExtensions(image), flush('the header extensions')],
    after: [],
  };
}

function isLast({ extensions }: Image, offset: number): boolean {
  return extensions.list.at(-1)?.offset === offset;
}
