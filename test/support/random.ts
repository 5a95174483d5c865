/** Repeatable random numbers. Every random test names the seed that repeats it. */

export interface Random {
  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number;
  /** An integer from `lowest` to `highest`, both included. */
  between(lowest: number, highest: number): number;
  /** True with the given probability, from 0 to 1. */
  chance(probability: number): boolean;
  pick<T>(choices: readonly T[]): T;
}

/** sfc32 by Chris Doty-Humphrey (public domain), started from one 32-bit seed. */
export function seededRandom(seed: number): Random {
  let a = 0;
  let b = 0;
  let c = seed | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let round = 0; round < 12; round++) next();

  const below = (limit: number) => Math.floor(next() * limit);
  return {
    below,
    between: (lowest, highest) => lowest + below(highest - lowest + 1),
    chance: (probability) => next() < probability,
    pick: (choices) => {
      if (choices.length === 0) throw new RangeError('nothing to pick from');
      return choices[below(choices.length)]!;
    },
  };
}

export interface RandomCase {
  seed: number;
  /** For the test's name: how to repeat this case alone. */
  again: string;
}

/**
 * The cases of a random test: BITMAP_TOOL_CASES of them, or as many as the test thinks enough, each with its own seed.
 *
 * The first seed is BITMAP_TOOL_SEED, or the clock's; the others count on from there, so any case can be the first.
 */
export function randomCases(usualCount: number): RandomCase[] {
  const count = integerFromEnvironment('BITMAP_TOOL_CASES') ?? usualCount;
  const firstSeed = integerFromEnvironment('BITMAP_TOOL_SEED') ?? Date.now() % 2 ** 31;
  return Array.from({ length: count }, (_, index) => {
    const seed = (firstSeed + index) % 2 ** 31;
    return { seed, again: `BITMAP_TOOL_SEED=${seed} BITMAP_TOOL_CASES=1` };
  });
}

function integerFromEnvironment(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name}=${text} is not a count`);
  return value;
}
