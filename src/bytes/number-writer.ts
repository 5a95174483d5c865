/**
 * Writes rows of texts and decimal numbers, for outputs of millions of lines. The WebAssembly kernel
 * (number-kernel.wat) does it with vectors.
 */
import { asciiPiece, writeDecimal, writeDecimalPadded, writePiece } from './ascii.ts';
import { startKernel } from './kernel.ts';
import { NUMBER_KERNEL_CODE } from './number-kernel-code.ts';

export interface RowFormat {
  /** The texts that can come before a number: ASCII, below 128 characters. */
  readonly texts: readonly string[];
  /** Pad numbers with spaces on the left, to 16 characters. */
  readonly isPadded: boolean;
}

export interface NumberColumn {
  /** Whole numbers from 0 to Number.MAX_SAFE_INTEGER, one for each row. */
  readonly numbers: Float64Array;
  /** The index of the text before each number. */
  readonly choices: Uint8Array;
}

export interface NumberWriter {
  readonly columns: readonly NumberColumn[];
  /** @returns text and number of each column, row by row; valid until the next call */
  write(rowCount: number): Uint8Array;
}

/** The parameters are those of number-kernel.wat: addresses in the memory, and numbers. */
type NumberKernel = (
  out: number,
  numbers: number,
  choices: number,
  columns: number,
  room: number,
  rows: number,
  texts: number,
  isPadded: number,
) => number;

/** In the memory of the kernel, a text and, in the last byte, its length. */
const SLOT_BYTES = 128;
/** Room for the longest number. The kernel also writes so much at once. */
const NUMBER_BYTES = 16;
const FLOAT_BYTES = Float64Array.BYTES_PER_ELEMENT;

/** @param room the maximum number of rows in one call */
export function numberWriter(format: RowFormat, columnCount: number, room: number): NumberWriter {
  const { texts, isPadded } = format;
  const longest = Math.max(...texts.map(({ length }) => length));
  const { arrays, exports } = startKernel<{ write: NumberKernel }>(NUMBER_KERNEL_CODE, [
    columnCount * room * FLOAT_BYTES,
    columnCount * room,
    columnCount * room * (longest + NUMBER_BYTES) + NUMBER_BYTES,
    texts.length * SLOT_BYTES,
  ]);
  const [numbers, choices, out, slots] = arrays as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  for (const [index, text] of texts.entries()) {
    slots.set(Buffer.from(text, 'latin1'), index * SLOT_BYTES);
    slots[(index + 1) * SLOT_BYTES - 1] = text.length;
  }
  const columns = Array.from({ length: columnCount }, (_, column) => ({
    numbers: new Float64Array(numbers.buffer, numbers.byteOffset + column * room * FLOAT_BYTES, room),
    choices: choices.subarray(column * room, (column + 1) * room),
  }));
  const [numbersAt, choicesAt, outAt, slotsAt] = arrays.map(({ byteOffset }) => byteOffset) as [
    number,
    number,
    number,
    number,
  ];
  const write = (rows: number) =>
    exports === undefined
      ? writeRows(new DataView(out.buffer, outAt, out.length), columns, format, rows)
      : exports.write(outAt, numbersAt, choicesAt, columnCount, room, rows, slotsAt, Number(isPadded)) -
        outAt;
  return { columns, write: (rows) => out.subarray(0, rows === 0 ? 0 : write(rows)) };
}

/** @returns the length of the rows */
export function writeRows(
  out: DataView,
  columns: readonly NumberColumn[],
  { texts, isPadded }: RowFormat,
  rowCount: number,
): number {
  const pieces = texts.map(asciiPiece);
  const writeNumber = isPadded ? writeDecimalPadded : writeDecimal;
  let at = 0;
  for (let row = 0; row < rowCount; row++) {
    for (const { numbers, choices } of columns) {
      at = writePiece(out, at, pieces[choices[row]!]!);
      at = writeNumber(out, at, numbers, row);
    }
  }
  return at;
}
