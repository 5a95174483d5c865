/** Sizes have the same meaning for `bitmap-tool bitmap` and for qemu-img, which is the judge. */
import { expect, test } from 'vitest';
import { parseQemuSize, QemuSizeError } from '../../../src/text/qemu-size.ts';
import { tryProgram } from '../../support/external-program.ts';
import { seededRandom } from '../../support/random.ts';

const TEXTS = [
  ...['0', '512', '65537', '010', '+7000', ' 7000', '9223372036854775807', '9223372036854775808'],
  ...['1k', '1K', '7000b', '7000B', '3M', '2g', '1t', '1P', '7e', '7.9E', '8E', '16E'],
  ...[
    '0.5M',
    '1.3M',
    '1.',
    '1.0',
    '1.0b',
    '1.k',
    '0.0004k',
    '0.0005k',
    '0.5009k',
    '0.5001k',
    '1.9999999999999999999k',
    '1.0000000000000000000001k',
  ],
  ...['0x1000', '0X1b00', '0x10k', '+0x10000', '0x1b'],
  ...[
    '',
    ' ',
    '.5k',
    '1.5',
    '1.5b',
    '0x',
    '0xk',
    '0x1.8',
    '0x1.8k',
    '1e3',
    '1.5e1k',
    '7000 ',
    '-1',
    '-0',
    '- 1',
  ],
  ...[
    'k',
    '1kk',
    '1kB',
    '1KiB',
    '1Q',
    '1..5k',
    '1.5.k',
    '1.+5k',
    '1. 5k',
    '00x10',
    '0b1',
    '1_0',
    '٣',
    'infk',
    'nan',
  ],
];

/** QEMU 8.1 and newer read these in another way. */
const CHANGED = ['.5k', '0x10k', '1.9999999999999999999k', '-0', '-1'];

/** Characters that numbers are made of, in any order. */
function randomTexts(count: number): string[] {
  const random = seededRandom(72);
  return Array.from({ length: count }, () =>
    Array.from({ length: random.between(1, 5) }, () =>
      random.pick(Array.from('0123459.xXbBkKmGtTPe+- a')),
    ).join(''),
  );
}

const { stdout: version } = await tryProgram('qemu-img', ['--version']);
const [, major, minor] = /version (\d+)\.(\d+)/.exec(version)!.map(Number) as [number, number, number];
const changed = major > 8 || (major === 8 && minor > 0) ? CHANGED : [];

test.each([...TEXTS, ...randomTexts(60)].filter((text) => !changed.includes(text)))(
  'the size %j is read as by qemu-img',
  async (text) => {
    const { exitCode, stdout, stderr } = await tryProgram('qemu-img', [
      'measure',
      '-O',
      'raw',
      '--size',
      text,
    ]);
    if (exitCode !== 0) {
      // Newer versions name the text instead of the reason.
      const [message] = /Invalid image size specified(\. (You may use|Must be between))?/.exec(stderr) ?? [];
      expect(message, stderr).toBeDefined();
      expect(() => parseQemuSize(text, 'image size')).toThrow(QemuSizeError);
      expect(() => parseQemuSize(text, 'image size')).toThrow(message);
    } else {
      const [, sectors] = /^required size: (\d+)$/m.exec(stdout)!;
      const bytes = parseQemuSize(text, 'image size');
      expect(String(BigInt(Math.ceil(bytes / 512)) * 512n)).toBe(sectors);
    }
  },
);
