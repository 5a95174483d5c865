/**
 * Prints the images that are in the backing chains of both compared disks.
 */
import { printable } from '../../text/printable.ts';

export function sharedLine(images: readonly string[]): string {
  if (images.length === 0) return '';
  const them = images.length === 1 ? 'it' : 'them';
  return `Both disks share ${images.map(printable).join(' and ')}: the comparison shows no write to ${them}.\n`;
}
