import { expect, it } from 'vitest';
import { blockdevOptions } from '../../../src/qemu/blockdev-options.ts';

const optionsOf = (...args: string[]) => Object.fromEntries(blockdevOptions(args));

it('the options of a node are those in JSON or in pairs, with one dash or two', () => {
  const json = { driver: 'qcow2', 'node-name': 'a', cache: { direct: true }, file: 'a-file' };
  expect(
    optionsOf(
      ...['-machine', 'none', '-blockdev', JSON.stringify(json)],
      ...['--blockdev', 'driver=file,node-name=a-file,filename=/a,,b=c.img,read-only=on,locking=off'],
    ),
  ).toEqual({
    a: json,
    'a-file': {
      driver: 'file',
      'node-name': 'a-file',
      filename: '/a,b=c.img',
      'read-only': true,
      locking: false,
    },
  });
});

it.each([
  ['nested pairs, whose types are unknown', 'driver=file,node-name=a,cache.direct=on'],
  ['a node without a name', '{"driver":"file","filename":"/a"}'],
  ['JSON that is cut short', '{"driver":"file","node-name":"a"'],
  ['no pairs', 'file'],
])('%s give no options', (_, text) => {
  expect(optionsOf('-blockdev', text)).toEqual({});
});

it('a command line that ends after -blockdev gives no options', () => {
  expect(optionsOf('-blockdev')).toEqual({});
});
