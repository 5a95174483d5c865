/**
 * The two types of ranges.
 */

/** Bytes [offset, offset + length). */
export interface ByteRange<Offset extends number = number> {
  readonly offset: Offset;
  readonly length: number;
}

/** Countable items [start, end): clusters, bits, indexes of a list. */
export interface Span<Index extends number = number> {
  readonly start: Index;
  readonly end: Index;
}
