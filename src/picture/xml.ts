/**
 * Text as it may stand in SVG.
 */
import { printable } from '../text/printable.ts';
import { escapeMarkup } from '../text/xml-text.ts';

/** What is markup is escaped, control characters are made visible, and what no XML may hold is replaced. */
export function xmlText(text: string): string {
  return escapeMarkup(printable(text).replace(/[\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd'));
}
