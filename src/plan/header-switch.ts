/**
 * Changes the bitmaps extension of the header. At every moment the header has the old or the new state.
 *
 * A device writes a single sector as a whole. So each step that QEMU can see lies within one sector. All
 * other bytes are written and flushed first, to places without a reference.
 */
import { bitmapsExtensionStruct, isMisframed } from '../format/bitmaps-extension.ts';
import { AUTOCLEAR } from '../format/features.ts';
import { headerStruct } from '../format/header.ts';
import { EXTENSION_TYPE, extensionFrame } from '../format/header-extensions.ts';
import type { Image } from '../image/image.ts';
import { SECTOR_BYTES } from '../storage/storage.ts';
import { AUTOCLEAR_OFFSET, bitmapsBit, clearUnknownAutoclear, withBitmapsBit } from './autoclear-bits.ts';
import { headerInOneSector, straddles } from './header-in-one-sector.ts';
import { moveBackingName, noRoom } from './header-room.ts';
import { flush, type Step, writeHeader } from './plan.ts';

export interface HeaderSwitch {
  /** Come before any other write to the image. */
  readonly first: readonly Step[];
  /** Written with the clusters that the new payload points at. No reader sees these writes yet. */
  readonly prepare: readonly Step[];
  /** Written after `prepare` is stable. The last step is a flush, which makes the switch durable. */
  readonly commit: readonly Step[];
  /** Clean up after the switch is durable. */
  readonly after: readonly Step[];
}

const FRAME_BYTES = extensionFrame.sizeBytes;
const PAYLOAD_BYTES = bitmapsExtensionStruct.sizeBytes;
const EXTENSION_BYTES = FRAME_BYTES + PAYLOAD_BYTES;
const END_MARKER = new Uint8Array(FRAME_BYTES);

/**
 * @param payload the new content of the bitmaps extension; undefined when no bitmap is left
 * @throws RefusedError when the header cluster has no room for what this takes
 */
export function planHeaderSwitch(image: Image, payload: Uint8Array | undefined): HeaderSwitch {
  if (image.header.version === 2) return removalFromVersion2(image, payload);
  const first = clearUnknownAutoclear(image);
  const whole = headerInOneSector(image, payload);
  if (whole !== undefined) return { first, prepare: [], commit: [whole, flush('the header')], after: [] };
  return { first, ...(payload === undefined ? removal(image) : replacement(image, payload)) };
}

/**
 * Clears autoclear bit 0 and corrects the length of every bitmaps extension. QEMU then opens the image with
 * any payload and ignores its bitmaps.
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

/** Offsets of the bitmaps extensions, in their order. QEMU uses the last one. */
function slots({ extensions }: Image): number[] {
  return extensions.list.filter(({ type }) => type === EXTENSION_TYPE.bitmaps).map(({ offset }) => offset);
}

/** Whether QEMU reads the bitmaps extension, provided that its payload is sound. */
function isShown({ header, extensions }: Image): boolean {
  const isSet = (header.autoclearFeatures & AUTOCLEAR.bitmaps) !== 0n;
  return isSet && !extensions.list.some(isMisframed);
}

/** Type and length of a bitmaps extension. Written over an end marker, they turn it into one. */
function extensionHead(): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES);
  extensionFrame.write(bytes, { type: EXTENSION_TYPE.bitmaps, length: PAYLOAD_BYTES });
  return bytes;
}

// --- a new payload
// --------------------------------------------------------------------------------------------

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
    // The extension was emptied by a removal, is stale, or is broken and hidden first. QEMU ignores it until
    // autoclear bit 0 is set.
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
    // An interrupted run of the case below left two extensions. QEMU uses the later one, so the earlier one
    // may be written.
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
  // The payload spans two sectors, so one write cannot change it. A second extension after it overrules it
  // while it is rewritten: QEMU uses the last one. The second one is then removed. QEMU checks each field
  // separately, so every mixture of the old and the new payload passes.
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

/** Adds the image's first bitmaps extension. */
function addition(image: Image, payload: Uint8Array): Omit<HeaderSwitch, 'first'> {
  const { prepare, clear, endMarkerOffset } = behindEndMarker(image, payload);
  const head = extensionHead();
  const commit = [...clear];
  if (endMarkerOffset + FRAME_BYTES <= SECTOR_BYTES) {
    // The end marker and the autoclear bit lie in the first sector, so one write changes both.
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
 * Writes a payload and a new end marker after the end marker. One write can then turn the old marker into an
 * extension.
 *
 * @returns `prepare`: steps whose result no reader sees; `clear`: steps to follow once those are stable
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

// --- no bitmap left
// -------------------------------------------------------------------------------------------

function removal(image: Image): Omit<HeaderSwitch, 'first'> {
  return {
    prepare: [],
    commit: hideBitmaps(image),
    after: [...removalOfExtensions(image), flush('the header extensions')],
  };
}

/**
 * Bitmaps extensions at the end are cut off. Those before another extension are emptied: the clear autoclear
 * bit hides them.
 */
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

/** A version 2 image has no autoclear bits, so QEMU ignores its bitmaps extension. It can only be removed. */
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
