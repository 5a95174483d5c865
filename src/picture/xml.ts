/**
 * Text for SVG.
 */
import { printable } from '../text/printable.ts';
import { escapeMarkup } from '../text/xml-text.ts';

/** Escapes markup, makes control characters visible, and replaces characters that XML forbids. */
export function xmlText(text: string): string {
  return escapeMarkup(printable(text).replace(/[\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd'));
}
