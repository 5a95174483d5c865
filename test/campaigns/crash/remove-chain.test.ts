/** Bitmaps are removed from the images of a chain from the top down. A failure in between leaves no valid checkpoint. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { checkCheckpoints, removeChosen } from '../../../src/index.ts';
import { qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { examineOpenable } from './checker/examine.ts';
import { failures } from './failing-fs.ts';

vi.mock('node:fs', async (importOriginal) => {
  const { failingFs } = await import('./failing-fs.ts');
  return failingFs(importOriginal);
});

test.each([0, 1])(
  'the bitmap stays in the lower images if image %i below the top cannot be written',
  async (depth) => {
    const folder = await scratchFolder();
    const images = ['base', 'middle', 'top'].map((name) => join(folder, `${name}.qcow2`));
    for (const [index, image] of images.entries()) {
      const over =
        index === 0
          ? ['-f', 'qcow2', image, '8M']
          : ['-f', 'qcow2', '-b', images[index - 1]!, '-F', 'qcow2', image];
      await qemuImg('create', '-q', ...over);
      for (const name of ['c1', 'c2']) await qemuImg('bitmap', '--add', image, name);
    }
    images.reverse();
    const [top] = images;
    const namesOf = async (image: string) => {
      const { errors, bitmaps } = examineOpenable(await readFile(image));
      expect(errors).toEqual([]);
      return bitmaps.map(({ name }) => name);
    };
    failures.push({ call: 'write', path: images[depth + 1]!, countdown: 0 });
    await expect(removeChosen(top!, { kind: 'named', names: ['c1'] }, { chain: true })).rejects.toThrow(
      `removed before that from: ${images.slice(0, depth + 1).join(', ')}`,
    );
    expect(await Promise.all(images.map(namesOf))).toEqual(
      images.map((_, index) => (index <= depth ? ['c2'] : ['c1', 'c2'])),
    );
    const [disk] = (await checkCheckpoints([top!])).disks;
    expect(disk!.checkpoints.map(({ name, libvirt }) => [name, libvirt])).toEqual([
      ['c1', 'refuses'],
      ['c2', 'accepts'],
    ]);
    // The next call continues from there.
    await removeChosen(top!, { kind: 'named', names: ['c1'] }, { chain: true });
    expect(await Promise.all(images.map(namesOf))).toEqual([['c2'], ['c2'], ['c2']]);
  },
);
