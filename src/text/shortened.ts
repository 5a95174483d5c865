/**
 * Cuts text to a width and keeps both ends readable.
 */
import { printable } from './printable.ts';

/** Width on a terminal, in letters. CJK characters and all others from U+1100 on count as two. */
export function letterWidth(characters: Iterable<string>): number {
  let width = 0;
  for (const character of characters) width += character >= '\u1100' ? 2 : 1;
  return width;
}

/** Removes the middle of a text that is wider than the given number of letters. */
export function shortened(text: string, letters: number): string {
  const characters = Array.from(printable(text));
  if (letterWidth(characters) <= letters) return characters.join('');
  const head: string[] = [];
  const tail: string[] = [];
  // Keep more of the end, because it has file names and numbers.
  for (let index = 0; letterWidth(head) + letterWidth(tail) < letters - 2; index++) {
    if (index % 3 === 0) head.push(characters[head.length]!);
    else tail.unshift(characters.at(-1 - tail.length)!);
  }
  return `${head.join('')}…${tail.join('')}`;
}
