/**
 * Text as it may stand in SVG.
 */
import { printable } from '../text/printable.ts';
import { escapeMarkup } from '../text/xml-text.ts';

/** What is markup is escaped, control characters are made visible, and what no XML may hold is replaced. */
export function xmlText(text: string): string {
  return escapeMarkup(printable(text).replace(/[\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd'));
}

/** Cuts the middle out of a text that is wider than so many letters. */
export function shortened(text: string, letters: number): string {
  const characters = Array.from(printable(text));
  const width = (some: readonly string[]) => some.reduce((sum, each) => sum + (each >= '\u1100' ? 2 : 1), 0);
  if (width(characters) <= letters) return characters.join('');
  const head: string[] = [];
  const tail: string[] = [];
  // The end says more: file names and numbers stand there.
  for (let index = 0; width(head) + width(tail) < letters - 2; index++) {
    if (index % 3 === 0) head.push(characters[head.length]!);
    else tail.unshift(characters.at(-1 - tail.length)!);
  }
  return `${head.join('')}…${tail.join('')}`;
}
