/** The guest's view of random chains, byte for byte as QEMU reads it. */
import { describe, expect, test } from 'vitest';
import { RefusedError } from '../../../../src/errors.ts';
import { firstDifference, qemuGuestDisk, readGuestDisk } from '../../../support/guest-disk.ts';
import { randomCases, seededRandom } from '../../../support/random.ts';
import { buildRandomChain } from '../../../support/random-chain.ts';
import { scratchFolder } from '../../../support/scratch.ts';

describe('the guest-visible content of a random chain', () => {
  for (const { seed, again } of randomCases(40)) {
    test(`is what QEMU reads (${again})`, async () => {
      const random = seededRandom(seed);
      const { top, layers, story } = await buildRandomChain(random, await scratchFolder());
      await story.toldOnFailure(async () => {
        const pieceBytes = 512 * random.between(1, 4096);
        const ours = await readGuestDisk(top.path, pieceBytes).catch((error: unknown) => {
          if (!layers.some(({ encrypted }) => encrypted)) throw error;
          expect(error).toBeInstanceOf(RefusedError);
          expect(error).toMatchObject({ code: 'UNSUPPORTED' });
        });
        if (ours !== undefined) expect(firstDifference(ours, await qemuGuestDisk(top.name))).toBeUndefined();
      });
    });
  }
});
