import { describe, expect, it } from 'vitest';
import { mapLineParser } from '../../../src/qemu/map-lines.ts';

const TEXT = `         0     1048576    0  unallocated
   1048576       65536    1  local
   1114112  1099511627776   12345\n`;
const LINES = [
  [0, 1048576, 0],
  [1048576, 65536, 1],
  [1114112, 1099511627776, 12345],
];

function parse(...pieces: string[]): number[][] {
  const lines: number[][] = [];
  const parser = mapLineParser((...line) => lines.push(line));
  for (const piece of pieces) parser.push(new TextEncoder().encode(piece));
  parser.end();
  return lines;
}

describe('the lines of nbdinfo --map', () => {
  it('are read whatever pieces they come in', () => {
    expect(parse(TEXT)).toEqual(LINES);
    expect(parse(TEXT.trimEnd())).toEqual(LINES);
    for (let cut = 0; cut <= TEXT.length; cut++) {
      expect(parse(TEXT.slice(0, cut), TEXT.slice(cut))).toEqual(LINES);
    }
  });

  it.each(['0 65536\n', '0 65536', 'nbdinfo: error\n', '0 -1 0\n', '\n'])('are not %j', (text) => {
    expect(() => parse(text)).toThrow(SyntaxError);
  });
});
