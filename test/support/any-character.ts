/** Characters for random text. */
import fc from 'fast-check';

/**
 * Any character but half a surrogate pair. Control, line and direction characters are frequent.
 *
 * As `unit` of fc.string() it takes far less time than 'binary', for which fast-check makes a map of all characters.
 */
export const anyCharacter = fc
  .oneof(
    fc.nat(0x9f),
    fc.integer({ min: 0x2000, max: 0x206f }),
    fc.nat(0xd7ff),
    fc.integer({ min: 0xe000, max: 0x10ffff }),
  )
  .map((point) => String.fromCodePoint(point));
