/**
 * Parses lists of extents from other tools. It reads them in pieces, because the list of a large disk can
 * exceed the maximum length of a string.
 */
import { createReadStream } from 'node:fs';
import type { ByteRange } from '../bytes/range.ts';
import { FailedError } from '../errors.ts';
import { parseSize } from '../text/size.ts';
import { CommandLineError } from './errors.ts';

/** Parses a list in consecutive pieces. */
interface ListParser {
  push(text: string): void;
  /** @throws UsageError when the list is visibly truncated */
  end(): void;
}

type Add = (range: ByteRange) => void;

/** Much longer than a line or an item of any tool. */
const MAX_ITEM_CHARACTERS = 64 * 1024;

/**
 * @param name a file name, or `-` for stdin
 * @returns the extents that count as marked
 * @throws UsageError when the list has an unknown format
 */
export async function readExtentList(name: string): Promise<ByteRange[]> {
  const ranges: { offset: number; length: number }[] = [];
  const add: Add = ({ offset, length }) => {
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else ranges.push({ offset, length });
  };
  let parser: ListParser | undefined;
  for await (const piece of pieces(name)) {
    const text = parser === undefined ? piece.trimStart() : piece;
    if (text === '') continue;
    parser ??= text.startsWith('[') ? jsonParser(name, add) : lineParser(name, add);
    parser.push(text);
  }
  // A failed command in a pipe leaves empty input. A bitmap from empty input would mark nothing.
  if (parser === undefined) throw malformed(name, 'it is empty');
  parser.end();
  return ranges;
}

async function* pieces(name: string): AsyncGenerator<string> {
  const stream = name === '-' ? process.stdin : createReadStream(name);
  stream.setEncoding('utf8');
  try {
    for await (const piece of stream) yield piece as string;
  } catch (cause) {
    throw new FailedError('FILE_NOT_FOUND', `${name}: cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function lineParser(name: string, add: Add): ListParser {
  let rest = '';
  let number = 0;
  const take = (line: string): void => {
    number++;
    const words = line.replace(/#.*/, '').trim().split(/\s+/);
    if (words[0] === '') return;
    if (words.length !== 2) throw malformed(name, `line ${number} is not "offset length"`);
    add({ offset: parseSize(words[0]!), length: parseSize(words[1]!) });
  };
  return {
    push(text) {
      const lines = `${rest}${text}`.split('\n');
      rest = lines.pop()!;
      lines.forEach(take);
      if (rest.length > MAX_ITEM_CHARACTERS) throw malformed(name, `line ${number + 1} has no end`);
    },
    end: () => take(rest),
  };
}

/** A JSON object without nested objects, and the "," or "]" after it. */
const ITEM = /\s*(\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\})\s*([,\]])/y;

function jsonParser(name: string, add: Add): ListParser {
  let rest = '';
  let index = 0;
  let state: 'before' | 'items' | 'after' = 'before';
  return {
    push(text) {
      rest += text;
      if (state === 'before') {
        if (/^\[\s*$/.test(rest)) return;
        const isEmpty = /^\[\s*\]/.exec(rest);
        state = isEmpty === null ? 'items' : 'after';
        rest = rest.slice(isEmpty?.[0].length ?? 1);
      }
      let at = 0;
      while (state === 'items') {
        ITEM.lastIndex = at;
        const found = ITEM.exec(rest);
        if (found === null) break;
        at = ITEM.lastIndex;
        const range = markedRange(parseItem(found[1]!, index, name), index, name);
        if (range !== undefined) add(range);
        index++;
        if (found[2] === ']') state = 'after';
      }
      rest = rest.slice(at);
      if (state === 'items' && rest.length > MAX_ITEM_CHARACTERS)
        throw malformed(name, `item ${index} is not an extent`);
      if (state === 'after' && rest.trim() !== '') throw malformed(name, 'something follows the array');
      if (state === 'after') rest = '';
    },
    end() {
      if (state !== 'after')
        throw malformed(name, `item ${index} is not an extent, or the list was cut off there`);
    },
  };
}

function parseItem(text: string, index: number, name: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw malformed(name, `item ${index}: ${(cause as Error).message}`);
  }
}

/** The extent descriptions of nbdinfo, by metadata context. True means that the extent counts as marked. */
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

function markedRange(
  { start, offset = start, length, description, present, data }: Record<string, unknown>,
  index: number,
  name: string,
): ByteRange | undefined {
  if (!isSize(start ?? offset) || !isSize(length))
    throw malformed(name, `item ${index} has no offset and length`);
  // `qemu-img map` prints the guest offset as `start` and the host offset as `offset`.
  const range = { offset: (start ?? offset) as number, length };
  if (start !== undefined) {
    const marked = typeof present === 'boolean' ? present : data;
    if (typeof marked !== 'boolean') throw malformed(name, `item ${index} has neither "present" nor "data"`);
    return marked ? range : undefined;
  }
  const marked = typeof description === 'string' ? DESCRIPTIONS.get(description) : undefined;
  if (marked === undefined)
    throw malformed(name, `item ${index} has the unknown description ${JSON.stringify(description)}`);
  return marked ? range : undefined;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function malformed(name: string, what: string): CommandLineError {
  return new CommandLineError(
    `${name}: not a list of extents: ${what}`,
    'Use a JSON array as "qemu-img map", "nbdinfo --json --map" or "bitmap-tool dump" prints it, or lines "offset length".',
  );
}
