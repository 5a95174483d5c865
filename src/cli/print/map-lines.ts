/**
 * The lines of a map, as JSON and as text. They are written as bytes because a disk may have millions of
 * lines.
 */
import {
  asciiPiece,
  PADDED_WIDTH,
  type Piece,
  writeDecimal,
  writeDecimalPadded,
  writePiece,
} from '../../bytes/ascii.ts';
import { flagsOf, type MapColumns, type MapFlags } from '../../guest/allocation/map-columns.ts';
import { NO_OFFSET, type RunKind } from '../../guest/allocation/runs.ts';
import { lineRoom } from './line-room.ts';

const NARROW = 8;
const KINDS = 8;

export interface MapLines {
  /** The output for these extents, valid until the next call. */
  batch(columns: MapColumns): Uint8Array;
  end(): string;
}

/** One JSON array for all batches, with one extent per line. */
export function jsonMapLines(gapsAreUnknown: boolean): MapLines {
  const room = lineRoom();
  const middleOf = pieces(gapsAreUnknown, jsonFlags);
  const next = asciiPiece(',\n{"start":');
  const length = asciiPiece(',"length":');
  const offset = asciiPiece(',"offset":');
  const close = asciiPiece('}');
  let isFirst = true;
  return {
    batch({ count, starts, lengths, depths, kinds, hostOffsets }) {
      const out = room(count);
      let at = 0;
      for (let index = 0; index < count; index++) {
        at = writePiece(out, at, next);
        at = writeDecimal(out, at, starts, index);
        at = writePiece(out, at, length);
        at = writeDecimal(out, at, lengths, index);
        at = writePiece(out, at, middleOf(depths[index]!, kinds[index]!));
        if (hostOffsets[index] !== NO_OFFSET) {
          at = writePiece(out, at, offset);
          at = writeDecimal(out, at, hostOffsets, index);
        }
        at = writePiece(out, at, close);
      }
      if (!isFirst || count === 0) return new Uint8Array(out.buffer, 0, at);
      // The first extent has "[" instead of a comma and a new line.
      isFirst = false;
      out.setUint8(1, OPEN);
      return new Uint8Array(out.buffer, 1, at - 1);
    },
    end: () => (isFirst ? '[]\n' : ']\n'),
  };
}

const OPEN = '['.charCodeAt(0);

function jsonFlags(depth: number, { present, zero, data, compressed }: MapFlags): string {
  return `,"depth":${depth},"present":${present},"zero":${zero},"data":${data},"compressed":${compressed}`;
}

export function textMapLines(gapsAreUnknown: boolean): MapLines {
  const room = lineRoom();
  const cells = (depth: string | number, what: string) =>
    `  ${String(depth).padEnd(NARROW)}  ${what.padEnd(NARROW)}  `;
  const beforeOffset = pieces(gapsAreUnknown, (depth, flags) => cells(depth, whatOf(flags)));
  const atEnd = pieces(gapsAreUnknown, (depth, flags) => `${cells(depth, whatOf(flags)).trimEnd()}\n`);
  const gap = asciiPiece('  ');
  const newLine = asciiPiece('\n');
  let title = `${'start'.padStart(PADDED_WIDTH)}  ${'length'.padStart(PADDED_WIDTH)}${cells('depth', 'what')}at\n`;
  const takeTitle = () => {
    const text = title;
    title = '';
    return text;
  };
  return {
    batch({ count, starts, lengths, depths, kinds, hostOffsets }) {
      const out = room(count);
      let at = writePiece(out, 0, asciiPiece(takeTitle()));
      for (let index = 0; index < count; index++) {
        at = writeDecimalPadded(out, at, starts, index);
        at = writePiece(out, at, gap);
        at = writeDecimalPadded(out, at, lengths, index);
        if (hostOffsets[index] === NO_OFFSET) {
          at = writePiece(out, at, atEnd(depths[index]!, kinds[index]!));
          continue;
        }
        at = writePiece(out, at, beforeOffset(depths[index]!, kinds[index]!));
        at = writeDecimal(out, at, hostOffsets, index);
        at = writePiece(out, at, newLine);
      }
      return new Uint8Array(out.buffer, 0, at);
    },
    end: takeTitle,
  };
}

function whatOf({ present, zero, compressed }: MapFlags): string {
  if (!present) return zero ? 'none' : 'backing';
  if (compressed) return 'compr.';
  return zero ? 'zero' : 'data';
}

/** Caches the text that all extents of one kind and depth share. */
function pieces(
  gapsAreUnknown: boolean,
  make: (depth: number, flags: MapFlags) => string,
): (depth: number, kind: number) => Piece {
  const made: (Piece | undefined)[] = [];
  return (depth, kind) => {
    const key = depth * KINDS + kind;
    made[key] ??= asciiPiece(make(depth, flagsOf(kind as RunKind, gapsAreUnknown)));
    return made[key];
  };
}
