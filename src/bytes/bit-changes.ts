/**
 * Finds the changes in a bit array. A run of set bits begins at one change and ends at the next.
 */
import { getBit, type ReadonlyBits, skipBytes } from './bits.ts';

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
const WORD = 32;

export interface BitChanges {
  /**
   * Stores in `into` the next indexes at which a bit differs from the previous bit. `into` has room for at
   * least 64 indexes.
   *
   * @returns the number of indexes, 0 at the end
   */
  next(into: Float64Array): number;
}

/**
 * Changes among the first `count` bits, in ascending order.
 *
 * @param before the bit before the first one
 */
export function bitChanges(bits: ReadonlyBits, count: number, before: 0 | 1 = 0): BitChanges {
  const isAligned = LITTLE_ENDIAN && bits.byteOffset % 4 === 0;
  const wholeWords = isAligned ? Math.floor(count / WORD) : 0;
  const words = new Int32Array(bits.buffer, isAligned ? bits.byteOffset : 0, wholeWords);
  let index = 0;
  /** The bit before `index`. */
  let last: number = before;

  function byWords(into: Float64Array): number {
    const most = into.length - WORD;
    let found = 0;
    let at = index / WORD;
    while (at < wholeWords && found <= most) {
      const word = words[at]!;
      if (word === -last) {
        at = Math.floor(skipBytes(bits, last === 0 ? 0 : 0xff, at * 4, wholeWords * 4) / 4);
        continue;
      }
      let changed = word ^ ((word << 1) | last);
      last = word >>> (WORD - 1);
      while (changed !== 0) {
        into[found++] = at * WORD + (WORD - 1 - Math.clz32(changed & -changed));
        changed &= changed - 1;
      }
      at++;
    }
    index = at * WORD;
    return found;
  }

  return {
    next(into) {
      let found = index < wholeWords * WORD ? byWords(into) : 0;
      while (index >= wholeWords * WORD && index < count && found < into.length) {
        const bit = getBit(bits, index) ? 1 : 0;
        if (bit !== last) into[found++] = index;
        last = bit;
        index++;
      }
      return found;
    },
  };
}
