/**
 * A buffer for lines that are written as bytes.
 */

/** An upper limit for the length of a line or title. */
const LINE_BYTES = 256;

/** Returns a buffer for a title and `lineCount` lines. Later calls reuse the buffer. */
export function lineRoom(): (lineCount: number) => DataView<ArrayBuffer> {
  let room = new DataView(new ArrayBuffer(0));
  return (lineCount) => {
    const needed = (lineCount + 1) * LINE_BYTES;
    if (room.byteLength < needed) room = new DataView(new ArrayBuffer(needed));
    return room;
  };
}
