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
  const names = new Map<number, string>();
  for (let at = 0; at + FEATURE_NAME_ENTRY_BYTES <= table.length; at += FEATURE_NAME_ENTRY_BYTES) {
    if (table[at] !== INCOMPATIBLE_TYPE) continue;
    names.set(table[at + 1]!, cString(table.subarray(at + 2, at + FEATURE_NAME_ENTRY_BYTES)));
  }
  return names;
}
