/**
 * Parses the lines of `nbdinfo --map`: offset, length, type, and a description if the context has one. A
 * large disk has millions of lines, so the parser reads byte by byte.
 */

export interface MapLineParser {
  /** @throws SyntaxError for a line that is not valid in a map */
  push(bytes: Uint8Array): void;
  /** @throws SyntaxError if the last line is incomplete */
  end(): void;
}

const SPACE = 0x20;
const LINE_END = 0x0a;
const ZERO = 0x30;
const FIELDS = 3;

export function mapLineParser(take: (offset: number, length: number, type: number) => void): MapLineParser {
  const fields = [0, 0, 0];
  /** Count of complete numbers in the current line. */
  let complete = 0;
  let isInNumber = false;
  let number = 0;

  const endNumber = () => {
    fields[complete++] = number;
    isInNumber = false;
    number = 0;
  };
  const endLine = () => {
    if (isInNumber) endNumber();
    if (complete < FIELDS) throw new SyntaxError(`a line with ${complete} numbers`);
    complete = 0;
    take(fields[0]!, fields[1]!, fields[2]!);
  };
  return {
    push(bytes) {
      for (const byte of bytes) {
        if (byte === LINE_END) endLine();
        // A description may follow.
        else if (complete === FIELDS) continue;
        else if (byte >= ZERO && byte <= ZERO + 9) {
          isInNumber = true;
          number = number * 10 + (byte - ZERO);
        } else if (byte !== SPACE) throw new SyntaxError(`the character 0x${byte.toString(16)} in a number`);
        else if (isInNumber) endNumber();
      }
    },
    end() {
      if (isInNumber || complete > 0) endLine();
    },
  };
}
