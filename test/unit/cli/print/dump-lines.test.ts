import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cleanBitmap, markRange } from '../../../../src/bitmap/dirty-bitmap.ts';
import { printJsonLines, printTextLines } from '../../../../src/cli/print/dump-lines.ts';
import { type DumpExtent, wholeDisk } from '../../../../src/operations/bitmaps/dump-bitmap.ts';
import { expectEqual } from '../../../support/expect-equal.ts';
import { extentsOf } from '../../../support/flat-bits.ts';

const GRANULARITY_BITS = 9;
const bitmap = fc
  .tuple(fc.nat(200_000), fc.array(fc.tuple(fc.nat(200_000), fc.nat(3000)), { maxLength: 60, size: 'max' }))
  .map(([size, ranges]) => {
    const made = cleanBitmap(size, GRANULARITY_BITS);
    for (const [offset, length] of ranges) markRange(made, offset, length);
    return made;
  });

/** The dirty extents and the gaps between them. */
function expected(made: ReturnType<typeof cleanBitmap>): DumpExtent[] {
  const extents: DumpExtent[] = [];
  let end = 0;
  const clean = (to: number) => {
    if (to > end) extents.push({ offset: end, length: to - end, type: 0, description: 'clean' });
  };
  for (const { offset, length } of extentsOf(made)) {
    clean(offset);
    extents.push({ offset, length, type: 1, description: 'dirty' });
    end = offset + length;
  }
  clean(made.virtualSizeBytes);
  return extents;
}

async function printed(print: typeof printJsonLines, made: ReturnType<typeof cleanBitmap>): Promise<string> {
  let text = '';
  const receive = async (bytes: Uint8Array) => {
    text += Buffer.from(bytes).toString();
  };
  await print(wholeDisk(made).columns(), receive, () => false);
  return text;
}

test('a dump covers the whole disk with alternating clean and dirty extents, and its lines show the same', async () => {
  await fc.assert(
    fc.asyncProperty(bitmap, async (made) => {
      const extents = expected(made);
      expectEqual([...wholeDisk(made).extents()], extents);
      const json = `[${extents.map((extent) => JSON.stringify(extent)).join(',\n')}]\n`;
      expect(await printed(printJsonLines, made)).toBe(json);
      const row = ({ offset, length, description }: DumpExtent) =>
        `${String(offset).padStart(16)}  ${String(length).padStart(16)}  ${description}\n`;
      expect(await printed(printTextLines, made)).toBe(extents.map(row).join(''));
    }),
    { examples: [[cleanBitmap(0, GRANULARITY_BITS)], [cleanBitmap(1, GRANULARITY_BITS)]] },
  );
});

test('nothing more is printed after the reader has gone', async () => {
  const made = cleanBitmap(2 ** 20, GRANULARITY_BITS);
  const pieces: Uint8Array[] = [];
  await printJsonLines(
    wholeDisk(made).columns(),
    async (bytes) => void pieces.push(bytes),
    () => true,
  );
  expect(pieces).toHaveLength(1);
});
