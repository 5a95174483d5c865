/**
 * Feature bits of the header, and their names ("Feature name table" in the specification).
 */
import { cString } from '../bytes/c-string.ts';
import { FormatError } from './format-error.ts';

export const INCOMPATIBLE = {
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  dataFile: 1n << 2n,
  compression: 1n << 3n,
  extendedL2: 1n << 4n,
} as const;

export const AUTOCLEAR = {
  bitmaps: 1n << 0n,
  rawExternalData: 1n << 1n,
} as const;

export const KNOWN_AUTOCLEAR = Object.values(AUTOCLEAR).reduce((mask, bit) => mask | bit, 0n);
const KNOWN_INCOMPATIBLE = Object.values(INCOMPATIBLE).reduce((mask, bit) => mask | bit, 0n);

const FEATURE_NAME_ENTRY_BYTES = 48;
const INCOMPATIBLE_TYPE = 0;

/**
 * @param nameTable the image's own feature name table, or empty
 * @throws FormatError naming every incompatible feature that this tool does not know
 */
export function refuseUnknownIncompatible(incompatible: bigint, nameTable: Uint8Array): void {
  const unknown = incompatible & ~KNOWN_INCOMPATIBLE;
  if (unknown === 0n) return;
  const names = incompatibleNames(nameTable);
  const listed: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if ((unknown & (1n << BigInt(bit))) === 0n) continue;
    const name = names.get(bit);
    listed.push(name === undefined ? `bit ${bit}` : `"${name}" (bit ${bit})`);
  }
  throw new FormatError(`header: unknown incompatible features: ${listed.join(', ')}`, {
    code: 'UNSUPPORTED',
    remedy: () => ({ kind: 'use-original-software' }),
  });
}

function incompatibleNames(table: Uint8Array): Map<number, string> {
  const ofType = parseFeatureNames(table).filter(({ type }) => type === INCOMPATIBLE_TYPE);
  return new Map(ofType.map(({ bit, name }) => [bit, name]));
}

/** @param table the data of the feature name table extension */
export function parseFeatureNames(table: Uint8Array): { type: number; bit: number; name: string }[] {
  const count = Math.floor(table.length / FEATURE_NAME_ENTRY_BYTES);
  return Array.from({ length: count }, (_, index) => {
    const entry = table.subarray(index * FEATURE_NAME_ENTRY_BYTES, (index + 1) * FEATURE_NAME_ENTRY_BYTES);
    return { type: entry[0]!, bit: entry[1]!, name: cString(entry.subarray(2)) };
  });
}
