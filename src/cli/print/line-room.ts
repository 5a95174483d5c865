/**
 * Room for lines that are written as bytes.
 */

/** Longer than any line, or title, is. */
const LINE_BYTES = 256;

/** A buffer for a title and so many lines, which is used again for the next ones. */
export function lineRoom(): (lineCount: number) => DataView<ArrayBuffer> {
  let room = new DataView(new ArrayBuffer(0));
  return (lineCount) => {
    const needed = (lineCount + 1) * LINE_BYTES;
    if (room.byteLength < needed) room = new DataView(new ArrayBuffer(needed));
    return room;
  };
}
