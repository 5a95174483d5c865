/**
 * `bitmap-tool bitmap` against `qemu-img bitmap`: the same random commands on twin copies of an image must have the same
 * exit status and leave the same bitmaps, as QEMU lists and reads them.
 */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { tryProgram } from '../../support/external-program.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { scratchFolder } from '../../support/scratch.ts';

const COMMANDS_PER_CASE = 10;
const NAMES = ['a', 'b', 'c', 'é%', 'a name'];
const GRANULARITIES = ['512', '4k', '64k', '1M', '2G', '0', '300', '4G', '0.5M', '0x1000', '8192b', '1.5'];
const ACTIONS = [
  '--add',
  '--add',
  '--remove',
  '--clear',
  '--enable',
  '--disable',
  '--merge',
  '--merge',
  '--mer',
];

/** One command line for each of the twins, its words in an order that getopt allows. */
function randomCommand(random: Random, other: string): (image: string) => string[] {
  const bitmap = random.pick(NAMES);
  const words: string[][] = [];
  const count = random.chance(0.6) ? 1 : random.between(2, 4);
  for (let index = 0; index < count; index++) {
    const action = random.pick(ACTIONS);
    words.push(action.startsWith('--mer') ? [action, random.pick(NAMES)] : [action]);
  }
  if (random.chance(0.3)) words.push([`-g${random.pick(GRANULARITIES)}`]);
  if (random.chance(0.2)) words.push(['-b', other, ...(random.chance(0.5) ? ['-F', 'qcow2'] : [])]);
  if (random.chance(0.2)) words.push(['-f', 'qcow2']);
  const operandsAt = random.below(words.length + 1);
  return (image) => [...words.slice(0, operandsAt).flat(), image, bitmap, ...words.slice(operandsAt).flat()];
}

describe('random commands', () => {
  test.each(randomCases(10))('have the same result as in qemu-img bitmap ($again)', async ({ seed }) => {
    const random = seededRandom(seed);
    const folder = await scratchFolder();
    const ours = join(folder, 'ours.qcow2');
    const theirs = join(folder, 'theirs.qcow2');
    const other = join(folder, 'other.qcow2');
    const clusterSize = random.pick(['512', '4k', '64k']);
    const otherSize = random.chance(0.8) ? '3M' : '5M';
    for (const [path, size] of [
      [ours, '3M'],
      [other, otherSize],
    ] as const) {
      await qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${clusterSize}`, path, size);
      await qemuImg('bitmap', '--add', '-g', random.pick(['512', '64k', '1M']), path, 'a');
      await qemuImg('bitmap', '--add', '-g', random.pick(['4k', '64k']), path, 'b');
    }
    await qemuIo(ours, 'write 100k 1k', 'write 2M 300k');
    await qemuIo(other, 'write 700k 1k', 'write 1M 3k');
    await copyFile(ours, theirs);

    for (let step = 0; step < COMMANDS_PER_CASE; step++) {
      const command = randomCommand(random, other);
      const own = await bitmapTool('bitmap', ...command(ours));
      const peer = await tryProgram('qemu-img', ['bitmap', ...command(theirs)]);
      const context = `${command('IMAGE').join(' ')}\nours: ${own.exitCode} ${own.stderr}\nQEMU: ${peer.exitCode} ${peer.stderr}`;
      expect(own.exitCode, context).toBe(peer.exitCode);
      expect(await qemuBitmaps(ours), context).toEqual(await qemuBitmaps(theirs));
    }
    for (const { name } of await qemuBitmaps(ours)) {
      expect(await dirtyExtents(ours, name), name).toEqual(await dirtyExtents(theirs, name));
    }
    expect(await qemuCheck(ours)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
  });
});

describe('the options of qemu-img 11.1', () => {
  async function imageWithTwoBitmaps(): Promise<string> {
    const image = join(await scratchFolder(), 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
    for (const name of ['a', 'b']) await qemuImg('bitmap', '--add', image, name);
    return image;
  }

  test.each([
    ['without a name', (image: string) => ['--remove-all', image], []],
    ['with a name', (image: string) => ['--remove-all', image, 'a'], []],
    ['before --add', (image: string) => ['--remove-all', '--add', image, 'a'], ['a']],
    ['twice', (image: string) => ['--remove-all', '--remove-all', image], []],
  ])('include --remove-all, which the drop-in accepts: %s', async (_, args, left) => {
    const image = await imageWithTwoBitmaps();
    expect(await bitmapTool('bitmap', ...args(image))).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
    expect((await qemuBitmaps(image)).map(({ name }) => name)).toEqual(left);
    expect(await qemuCheck(image)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
  });

  test('include --format, --source-file and --source-format, which the drop-in accepts', async () => {
    const [image, other] = [await imageWithTwoBitmaps(), await imageWithTwoBitmaps()];
    await qemuIo(other, 'write 0 64k');
    const source = ['--merge', 'a', '--source-file', other, '--source-format', 'qcow2'];
    const merged = await bitmapTool('bitmap', ...source, '--format', 'qcow2', image, 'b');
    expect(merged).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await dirtyExtents(image, 'b')).toEqual(await dirtyExtents(other, 'a'));
  });

  test.each<[string[], string]>([
    [['--re', 'IMAGE', 'a'], "option '--re' is ambiguous; possibilities: '--remove' '--remove-all'"],
    [['--rem', 'IMAGE', 'a'], "option '--rem' is ambiguous; possibilities: '--remove' '--remove-all'"],
    [
      ['--so', 'x', 'IMAGE', 'a'],
      "option '--so' is ambiguous; possibilities: '--source-file' '--source-format'",
    ],
    [['--bogus', 'IMAGE', 'a'], "unrecognized option '--bogus'"],
    [['--add=3', 'IMAGE', 'a'], "option '--add' doesn't allow an argument"],
    [['--add', '-U', 'IMAGE', 'a'], "invalid option -- 'U'"],
    [['--add', '-g'], "option requires an argument -- 'g'"],
    [['--merge'], "option '--merge' requires an argument"],
    [['--remove-all'], 'Expecting filename'],
    [['--remove-all', 'IMAGE', 'a', 'b'], 'Expecting filename'],
    [['--remove-all', '--add', 'IMAGE'], 'Expecting filename and bitmap name'],
    [['--add', 'IMAGE'], 'Expecting filename and bitmap name'],
    [
      ['IMAGE', 'a'],
      'Need at least one of --add, --remove, --remove-all, --clear, --enable, --disable, or --merge',
    ],
  ])(
    'are refused by the drop-in with the same message, exit code 1 and no change: %j',
    async (args, message) => {
      const image = await imageWithTwoBitmaps();
      const words = args.map((word) => (word === 'IMAGE' ? image : word));
      const { exitCode, stderr } = await bitmapTool('bitmap', ...words);
      expect({ exitCode, line: stderr.split('\n')[0] }).toEqual({
        exitCode: 1,
        line: `bitmap-tool: ${message}`,
      });
      expect((await qemuBitmaps(image)).map(({ name }) => name)).toEqual(['a', 'b']);
    },
  );
});
