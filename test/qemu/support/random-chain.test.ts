/** QEMU finds no error in the random chains, and they contain every feature that they should. */
import { describe, expect, test } from 'vitest';
import { qemuCheck, qemuInfo } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { buildRandomChain } from '../../support/random-chain.ts';
import { type Qcow2Options, randomQcow2Options } from '../../support/random-options.ts';
import { scratchFolder } from '../../support/scratch.ts';

describe('a random chain', () => {
  for (const { seed, again } of randomCases(15)) {
    test(`has no errors in qemu-img check, in any layer (${again})`, async () => {
      const { layers, story } = await buildRandomChain(seededRandom(seed), await scratchFolder());
      await story.toldOnFailure(async () => {
        for (const layer of layers) {
          const info = await qemuInfo(layer.name);
          expect(info['virtual-size'], layer.path).toBe(layer.virtualSize);
          if (layer.format === 'raw') continue;
          const answer = await qemuCheck(layer.name);
          expect(answer, layer.path).toMatchObject({ exitCode: 0, errors: 0, leaks: 0, corruptions: 0 });
        }
      });
    });
  }

  test('is the same for the same seed', async () => {
    const sizes: number[][] = [];
    for (let time = 0; time < 2; time++) {
      const { layers } = await buildRandomChain(seededRandom(7), await scratchFolder());
      sizes.push(layers.map(({ virtualSize }) => virtualSize));
    }
    expect(sizes[0]).toEqual(sizes[1]);
  });
});

describe('random options', () => {
  const random = seededRandom(1);
  const many = Array.from({ length: 2000 }, () =>
    randomQcow2Options(random, { hasBacking: random.chance(0.5) }),
  );
  const seen = (option: keyof Qcow2Options) => new Set(many.map((options) => options[option]));

  test.each([
    ['compat', 2],
    ['clusterSize', 13],
    ['refcountBits', 7],
    ['extendedL2', 2],
    ['compression', 2],
    ['lazyRefcounts', 2],
    ['preallocation', 2],
    ['dataFile', 3],
    ['encryption', 3],
  ] as const)('include every value of %s', (option, count) => {
    expect(seen(option).size).toBe(count);
  });
});
