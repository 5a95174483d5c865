/**
 * Numbers of things, in the singular or the plural.
 */

/** For example "1 image", or "2 images". The plural is regular unless it is given. */
export function counted(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}
