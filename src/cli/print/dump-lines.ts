/**
 * The lines of a dump, as JSON and as text. They are written as bytes because a bitmap may have millions of
 * extents.
 */
import { asciiPiece, type Piece, writeDecimal, writeDecimalPadded, writePiece } from '../../bytes/ascii.ts';
import type { DumpColumns } from '../../operations/bitmaps/dump-bitmap.ts';
import { lineRoom } from './line-room.ts';

/** Indexed by extent type. */
const DESCRIPTIONS = ['clean', 'dirty'] as const;

/** One JSON array with one extent per line. */
export async function printJsonLines(
  batches: Iterable<DumpColumns>,
  print: (bytes: Uint8Array) => Promise<void>,
  isClosed: () => boolean,
): Promise<void> {
  const room = lineRoom();
  const next = asciiPiece(',\n{"offset":');
  const length = asciiPiece(',"length":');
  const ends = DESCRIPTIONS.map((name, type) => asciiPiece(`,"type":${type},"description":"${name}"}`));
  let isFirst = true;
  for (const { count, offsets, lengths, types } of batches) {
    const out = room(count);
    let at = 0;
    for (let index = 0; index < count; index++) {
      at = writePiece(out, at, next);
      at = writeDecimal(out, at, offsets, index);
      at = writePiece(out, at, length);
      at = writeDecimal(out, at, lengths, index);
      at = writePiece(out, at, ends[types[index]!]!);
    }
    // The first extent has "[" instead of a comma and a new line.
    if (isFirst) out.setUint8(1, OPEN);
    await print(new Uint8Array(out.buffer, isFirst ? 1 : 0, isFirst ? at - 1 : at));
    isFirst = false;
    if (isClosed()) return;
  }
  await print(Buffer.from(isFirst ? '[]\n' : ']\n'));
}

const OPEN = '['.charCodeAt(0);

export async function printTextLines(
  batches: Iterable<DumpColumns>,
  print: (bytes: Uint8Array) => Promise<void>,
  isClosed: () => boolean,
): Promise<void> {
  const room = lineRoom();
  const gap = asciiPiece('  ');
  const ends: readonly Piece[] = DESCRIPTIONS.map((name) => asciiPiece(`  ${name}\n`));
  for (const { count, offsets, lengths, types } of batches) {
    const out = room(count);
    let at = 0;
    for (let index = 0; index < count; index++) {
      at = writeDecimalPadded(out, at, offsets, index);
      at = writePiece(out, at, gap);
      at = writeDecimalPadded(out, at, lengths, index);
      at = writePiece(out, at, ends[types[index]!]!);
    }
    await print(new Uint8Array(out.buffer, 0, at));
    if (isClosed()) return;
  }
}
