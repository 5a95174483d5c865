/**
 * Lists of extents as other tools print them.
 */
import { promises as fs } from 'node:fs';
import type { ByteRange } from '../bitmap/dirty-bitmap.ts';
import { FailedError, UsageError } from '../errors.ts';
import { parseSize } from '../text/size.ts';

/**
 * @param name of a file, or `-` for stdin
 * @returns the extents that count as marked
 * @throws UsageError when the list is in none of the forms that are known
 */
export async function readExtentList(name: string): Promise<ByteRange[]> {
  const list = name === '-' ? await readStdin() : await readList(name);
  // What a failed command in a pipe leaves behind would make a bitmap that misses everything.
  if (list.trim() === '') throw malformed(name, 'it is empty');
  return list.trimStart().startsWith('[') ? fromJson(list, name) : fromLines(list, name);
}

async function readStdin(): Promise<string> {
  const { text } = await import('node:stream/consumers');
  return text(process.stdin);
}

async function readList(name: string): Promise<string> {
  try {
    return await fs.readFile(name, 'utf8');
  } catch (cause) {
    throw new FailedError('FILE_NOT_FOUND', `${name}: cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function fromLines(list: string, name: string): ByteRange[] {
  return list
    .split('\n')
    .map((line, index) => ({ words: line.replace(/#.*/, '').trim().split(/\s+/), number: index + 1 }))
    .filter(({ words }) => words[0] !== '')
    .map(({ words, number }) => {
      if (words.length !== 2) throw malformed(name, `line ${number} is not "offset length"`);
      return { offset: parseSize(words[0]!), length: parseSize(words[1]!) };
    });
}

/** What nbdinfo calls an extent, by the map it was asked for; true where it counts as marked. */
const DESCRIPTIONS: ReadonlyMap<string, boolean> = new Map([
  // qemu:dirty-bitmap
  ['dirty', true],
  ['clean', false],
  // base:allocation
  ['data', true],
  ['hole', false],
  ['zero', true],
  ['hole,zero', false],
  // qemu:allocation-depth
  ['local', true],
  ['unallocated', false],
]);

function fromJson(list: string, name: string): ByteRange[] {
  let items: unknown;
  try {
    items = JSON.parse(list);
  } catch (cause) {
    throw malformed(name, (cause as Error).message);
  }
  if (!Array.isArray(items)) throw malformed(name, 'not an array');
  return items.flatMap((item: unknown, index): ByteRange[] => {
    const extent = (typeof item === 'object' && item !== null ? item : {}) as Record<string, unknown>;
    const { start, offset = start, length, description, present, data } = extent;
    if (!isSize(start ?? offset) || !isSize(length))
      throw malformed(name, `item ${index} has no offset and length`);
    // `qemu-img map` gives `start`, and in `offset` the place in the file.
    const range = { offset: (start ?? offset) as number, length };
    if (start !== undefined) {
      const marked = typeof present === 'boolean' ? present : data;
      if (typeof marked !== 'boolean')
        throw malformed(name, `item ${index} says neither "present" nor "data"`);
      return marked ? [range] : [];
    }
    const marked = typeof description === 'string' ? DESCRIPTIONS.get(description) : undefined;
    if (marked === undefined)
      throw malformed(name, `item ${index} has the unknown description ${JSON.stringify(description)}`);
    return marked ? [range] : [];
  });
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function malformed(name: string, what: string): UsageError {
  return new UsageError(`${name}: not a list of extents: ${what}`, {
    hint: 'Known are JSON arrays of qemu-img map, nbdinfo --json --map and bitmap-tool dump, and lines "offset length".',
  });
}
