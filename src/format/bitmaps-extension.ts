/**
 * The bitmaps header extension ("Bitmaps extension" in the specification).
 */
import { struct } from '../bytes/struct.ts';
import { type HostOffset, hostOffset } from './addresses.ts';
import { type BitmapRule, refusal, type Violation } from './bitmap-rules.ts';
import { AUTOCLEAR } from './features.ts';
import { FormatError, hex } from './format-error.ts';
import type { Header } from './header.ts';
import {
  EXTENSION_TYPE,
  findExtension,
  type HeaderExtension,
  type HeaderExtensions,
  parseHeaderExtensions,
} from './header-extensions.ts';

export const bitmapsExtensionStruct = struct({
  nbBitmaps: [0, 'u32'],
  reserved: [4, 'u32'],
  bitmapDirectorySize: [8, 'u64'],
  bitmapDirectoryOffset: [16, 'u64'],
});

const PAYLOAD_BYTES = bitmapsExtensionStruct.sizeBytes;

/** QEMU's QCOW2_MAX_BITMAPS. */
export const MAX_BITMAPS = 65535;
/** QEMU's QCOW2_MAX_BITMAP_DIRECTORY_SIZE, in bytes: 1 KiB for each bitmap. */
export const MAX_BITMAP_DIRECTORY_BYTES = 67_107_840;

export interface BitmapDirectoryLocation {
  readonly bitmapCount: number;
  readonly offset: HostOffset;
  readonly sizeBytes: number;
}

/** The location from an extension that may be broken. A field with an impossible value is undefined. */
export type PossibleDirectory = {
  readonly [Field in keyof BitmapDirectoryLocation]: BitmapDirectoryLocation[Field] | undefined;
};

/**
 * The state of the bitmaps according to the header.
 *
 * `stale`: autoclear bit 0 is clear, because software without support for bitmaps changed the image. QEMU
 * ignores the extension and drops it at its next read-write open. `broken`: QEMU refuses the whole image.
 */
export type BitmapsState =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'stale';
      readonly extension: HeaderExtension;
      /** The former place of the directory. It may hold anything now. */
      readonly directory: PossibleDirectory;
    }
  | {
      readonly kind: 'live';
      readonly extension: HeaderExtension;
      readonly directory: BitmapDirectoryLocation;
    }
  | {
      readonly kind: 'broken';
      readonly extension: HeaderExtension;
      readonly directory: PossibleDirectory;
      /** At least one. */
      readonly violations: readonly Violation[];
    };

export function bitmapsState(extensions: HeaderExtensions, header: Header): BitmapsState {
  const extension = findExtension(extensions, EXTENSION_TYPE.bitmaps);
  if (extension === undefined) return { kind: 'none' };
  const all = extensions.list.filter(({ type }) => type === EXTENSION_TYPE.bitmaps);
  const live = (header.autoclearFeatures & AUTOCLEAR.bitmaps) !== 0n;
  const violations = all.flatMap(lengthViolations);
  // QEMU checks every bitmaps extension, although only the last one counts.
  if (live) violations.push(...all.flatMap((each) => examinePayload(each, header).violations));
  const { directory } = examinePayload(extension, header);
  if (violations.length > 0) return { kind: 'broken', extension, directory, violations };
  if (live) return { kind: 'live', extension, directory: directory as BitmapDirectoryLocation };
  return isRetired(extension) ? { kind: 'none' } : { kind: 'stale', extension, directory };
}

/** @throws FormatError when QEMU refuses the whole image because of its bitmaps extension */
export function requireSoundBitmaps(state: BitmapsState): BitmapsState {
  if (state.kind === 'broken') throw refusal(state.violations[0]!);
  return state;
}

/**
 * Parses the header extensions of an image. If the bitmaps extension has a wrong length, the correct length
 * is used.
 *
 * @throws FormatError also when the extensions after that one are ambiguous
 */
export function parseExtensionsLeniently(headerCluster: Uint8Array, header: Header): HeaderExtensions {
  const mended = parseHeaderExtensions(headerCluster, header, (type, stored) =>
    type === EXTENSION_TYPE.bitmaps ? PAYLOAD_BYTES : stored,
  );
  const first = mended.list.find(isMisframed);
  if (first === undefined) return mended;
  const offsets = new Set(mended.list.map(({ offset }) => offset));
  for (const { type, offset } of extensionsAsStored(headerCluster, header)) {
    if (!MEANINGFUL_TYPES.has(type) || offsets.has(offset)) continue;
    throw new FormatError(
      `${lengthViolations(first)[0]!.message}, and only with that length another extension is found at ${hex(offset)}`,
      { remedy: () => ({ kind: 'correct-extension-length' }) },
    );
  }
  return mended;
}

const MEANINGFUL_TYPES: ReadonlySet<number> = new Set(Object.values(EXTENSION_TYPE));

/** The extensions with their stored lengths. Empty if the frames are invalid. */
function extensionsAsStored(headerCluster: Uint8Array, header: Header): readonly HeaderExtension[] {
  try {
    return parseHeaderExtensions(headerCluster, header).list;
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}

export function isMisframed({ type, storedLengthBytes }: HeaderExtension): boolean {
  return type === EXTENSION_TYPE.bitmaps && storedLengthBytes !== PAYLOAD_BYTES;
}

function lengthViolations(extension: HeaderExtension): Violation[] {
  if (!isMisframed(extension)) return [];
  const what = `length is ${extension.storedLengthBytes}, must be ${PAYLOAD_BYTES}`;
  return [violation(extension, 'extension-length', what)];
}

/**
 * Whether this tool emptied the extension, because it could not remove it before other extensions. An emptied
 * extension is all zeros, with the autoclear bit clear.
 */
function isRetired({ data }: HeaderExtension): boolean {
  return data.every((byte) => byte === 0);
}

function examinePayload(
  extension: HeaderExtension,
  { clusterSizeBytes }: Header,
): { violations: Violation[]; directory: PossibleDirectory } {
  const violations: Violation[] = [];
  const nothing = { bitmapCount: undefined, offset: undefined, sizeBytes: undefined };
  if (extension.data.length < PAYLOAD_BYTES) return { violations, directory: nothing };
  /** Returns the value if it keeps the rule. Otherwise records a violation. */
  const keep = <T>(kept: boolean, value: T, rule: BitmapRule, what: string): T | undefined => {
    if (kept) return value;
    violations.push(violation(extension, rule, what));
    return undefined;
  };

  const { nbBitmaps, reserved, bitmapDirectorySize, bitmapDirectoryOffset } = bitmapsExtensionStruct.read(
    extension.data,
  );
  keep(reserved === 0, reserved, 'extension-reserved', `the reserved field is ${hex(reserved)}, must be 0`);
  const bitmapCount = keep(
    nbBitmaps > 0 && nbBitmaps <= MAX_BITMAPS,
    nbBitmaps,
    'extension-count',
    `nb_bitmaps is ${nbBitmaps}, must be 1…${MAX_BITMAPS}`,
  );
  const offset = keep(
    bitmapDirectoryOffset > 0n &&
      bitmapDirectoryOffset <= Number.MAX_SAFE_INTEGER &&
      Number(bitmapDirectoryOffset) % clusterSizeBytes === 0,
    hostOffset(Number(bitmapDirectoryOffset)),
    'directory-offset',
    `bitmap_directory_offset is ${hex(bitmapDirectoryOffset)}, must be a multiple of the cluster size, not 0, and below 2^53`,
  );
  const sizeBytes = keep(
    bitmapDirectorySize > 0n && bitmapDirectorySize <= MAX_BITMAP_DIRECTORY_BYTES,
    Number(bitmapDirectorySize),
    'directory-size',
    `bitmap_directory_size is ${bitmapDirectorySize}, must be 1…${MAX_BITMAP_DIRECTORY_BYTES}`,
  );
  return { violations, directory: { bitmapCount, offset, sizeBytes } };
}

function violation({ offset }: HeaderExtension, rule: BitmapRule, what: string): Violation {
  return { rule, message: `bitmaps extension at ${hex(offset)}: ${what}` };
}

/** The stored payload of an extension for `directory`. */
export function encodeBitmapsPayload(directory: BitmapDirectoryLocation): Uint8Array {
  const bytes = new Uint8Array(bitmapsExtensionStruct.sizeBytes);
  bitmapsExtensionStruct.write(bytes, {
    nbBitmaps: directory.bitmapCount,
    reserved: 0,
    bitmapDirectorySize: BigInt(directory.sizeBytes),
    bitmapDirectoryOffset: BigInt(directory.offset),
  });
  return bytes;
}
