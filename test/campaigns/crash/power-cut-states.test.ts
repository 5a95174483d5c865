/** The states after a power cut, for plans that are small enough to list them by hand. */
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import { flush, type Step, write as writeAt } from '../../../src/plan/plan.ts';
import { seededRandom } from '../../support/random.ts';
import { type PowerCutState, powerCutStates } from './power-cut-states.ts';

const sectorBytes = 512;

function write(offset: number, bytes: Uint8Array, reason: string): Step {
  return writeAt(hostOffset(offset), bytes, reason);
}

function bytesOf(value: number, length = sectorBytes): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function statesOf(steps: Step[], original = new Uint8Array(4 * sectorBytes)): PowerCutState[] {
  return [...powerCutStates(original, { steps }, seededRandom(1), 8)];
}

/** The first byte of each sector. */
function sectors({ bytes }: PowerCutState): string {
  return Array.from({ length: Math.ceil(bytes.length / sectorBytes) }, (_, i) => bytes[i * sectorBytes]).join(
    '',
  );
}

describe('powerCutStates', () => {
  it('stores any subset of the writes since the last flush', () => {
    const steps = [write(0, bytesOf(1), 'a'), write(1024, bytesOf(2), 'b'), flush('both')];
    expect(statesOf(steps).map(sectors)).toEqual(['0000', '1000', '0020', '1020']);
  });

  it('stores every write before the last flush', () => {
    const steps = [
      write(0, bytesOf(1), 'a'),
      flush('a'),
      write(512, bytesOf(2), 'b'),
      write(1024, bytesOf(3), 'c'),
      flush('b'),
    ];
    expect(statesOf(steps).map(sectors)).toEqual(['0000', '1000', '1200', '1030', '1230']);
  });

  it('tears a write at multiples of 512 in the file, wherever the write begins', () => {
    const states = statesOf([write(500, bytesOf(1, 24), 'across'), flush('it')]);
    expect(states.map(({ bytes }) => [bytes[500], bytes[511], bytes[512], bytes[523]].join(''))).toEqual([
      '0000',
      '1100',
      '0011',
      '1111',
    ]);
  });

  it('keeps a write within one sector whole', () => {
    const states = statesOf([write(504, bytesOf(1, 8), 'an entry'), flush('it')]);
    expect(states.map(({ bytes }) => [bytes[504], bytes[511]].join(''))).toEqual(['00', '11']);
  });

  it('leaves out writes that change nothing', () => {
    expect(statesOf([write(0, bytesOf(0), 'zeros over zeros'), flush('it')])).toHaveLength(2);
  });

  it('keeps a write that reverts another unflushed write', () => {
    const steps = [write(0, bytesOf(1), 'there'), write(0, bytesOf(0), 'and back'), flush('both')];
    expect(statesOf(steps).map(sectors)).toContain('1000');
  });

  it('lets the later of two writes to a sector win', () => {
    const steps = [write(0, bytesOf(1), 'first'), write(0, bytesOf(2), 'second'), flush('both')];
    expect(statesOf(steps).map(sectors)).toEqual(['0000', '1000', '2000', '2000']);
  });

  it('makes the file only as long as the stored writes', () => {
    const steps = [write(2048, bytesOf(1, 1024), 'behind the end'), flush('it')];
    expect(statesOf(steps).map(sectors)).toEqual(['0000', '00001', '000001', '000011']);
  });

  it('counts zeros after the end of the file as one piece', () => {
    const steps = [write(2048, bytesOf(0, 64 * 512), 'a table'), flush('it')];
    expect(statesOf(steps).map(({ bytes }) => bytes.length)).toEqual([2048, 2048 + 64 * 512]);
  });

  it('tries these subsets of many pieces: none, all, each alone, all but one, each beginning, and random ones', () => {
    const count = 30;
    const steps = [write(0, bytesOf(1, count * sectorBytes), 'many'), flush('it')];
    const states = statesOf(steps, new Uint8Array(count * sectorBytes)).map(sectors);
    expect(new Set(states).size).toBe(states.length);
    expect(states).toContain('0'.repeat(count));
    expect(states).toContain('1'.repeat(count));
    for (let i = 0; i < count; i++) {
      expect(states).toContain(`${'0'.repeat(i)}1${'0'.repeat(count - i - 1)}`);
      expect(states).toContain(`${'1'.repeat(i)}0${'1'.repeat(count - i - 1)}`);
      expect(states).toContain(`${'1'.repeat(i)}${'0'.repeat(count - i)}`);
    }
    expect(states.length).toBeGreaterThan(3 * count);
  });
});
