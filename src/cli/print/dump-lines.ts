/**
 * The lines of a dump, as JSON and as text. They are written as bytes because a bitmap may have millions of
 * extents.
 */
import { type NumberColumn, numberWriter } from '../../bytes/number-writer.ts';
import type { DumpColumns } from '../../operations/bitmaps/dump-bitmap.ts';

interface LineFormat {
  readonly open: string;
  readonly beforeOffset: string;
  readonly beforeLength: string;
  /** Indexed by extent type. */
  readonly afterLength: readonly [clean: string, dirty: string];
  readonly between: string;
  readonly close: string;
  readonly isPadded: boolean;
}

/** One JSON array with one extent per line. */
const JSON_LINES: LineFormat = {
  open: '[',
  beforeOffset: '{"offset":',
  beforeLength: ',"length":',
  afterLength: [',"type":0,"description":"clean"}', ',"type":1,"description":"dirty"}'],
  between: ',\n',
  close: ']\n',
  isPadded: false,
};

const TEXT_LINES: LineFormat = {
  open: '',
  beforeOffset: '',
  beforeLength: '  ',
  afterLength: ['  clean\n', '  dirty\n'],
  between: '',
  close: '',
  isPadded: true,
};

export const printJsonLines = linePrinter(JSON_LINES);
export const printTextLines = linePrinter(TEXT_LINES);

/** The maximum number of lines that are printed at once. */
const LINES = 16 * 1024;

function linePrinter({
  open,
  beforeOffset,
  beforeLength,
  afterLength,
  between,
  close,
  isPadded,
}: LineFormat) {
  const nextOffset = afterLength.map((after) => `${after}${between}${beforeOffset}`);
  const texts = [...nextOffset, `${open}${beforeOffset}`, beforeLength];
  const [FIRST_OFFSET, LENGTH] = [2, 3];
  return async (
    batches: Iterable<DumpColumns>,
    print: (bytes: Uint8Array) => Promise<void>,
    isClosed: () => boolean,
  ): Promise<void> => {
    const { columns, write } = numberWriter({ texts, isPadded }, 2, LINES);
    const [offset, length] = columns as [NumberColumn, NumberColumn];
    length.choices.fill(LENGTH);
    /** The type of the last extent. */
    let last: number | undefined;
    for (const { count, offsets, lengths, types } of batches) {
      for (let start = 0; start < count; start += LINES) {
        const end = Math.min(count, start + LINES);
        offset.numbers.set(offsets.subarray(start, end));
        length.numbers.set(lengths.subarray(start, end));
        offset.choices[0] = last ?? FIRST_OFFSET;
        offset.choices.set(types.subarray(start, end - 1), 1);
        last = types[end - 1]!;
        await print(write(end - start));
        if (isClosed()) return;
      }
    }
    await print(Buffer.from(`${last === undefined ? open : afterLength[last as 0 | 1]}${close}`));
  };
}
