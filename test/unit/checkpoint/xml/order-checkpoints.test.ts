/** The order that libvirt needs: a parent before its child, whatever the clock says. */
import { expect, test } from 'vitest';
import type { Checkpoint } from '../../../../src/checkpoint/checkpoint.ts';
import { orderCheckpoints } from '../../../../src/checkpoint/xml/order-checkpoints.ts';

/** `child < parent @ time` */
function order(...families: string[]): string {
  const checkpoints = families.map((family): Checkpoint => {
    const [ancestry, time = '0'] = family.split(' @ ');
    const [name, parent] = ancestry!.split(' < ');
    return {
      name: name!,
      parent,
      creationTime: Number(time),
      description: undefined,
      guest: undefined,
      disks: [],
    };
  });
  return orderCheckpoints(checkpoints)
    .map(({ name }) => name)
    .join(' ');
}

test('parents come first, then older checkpoints, then names in order', () => {
  expect(order('b @ 2', 'a @ 3', 'c @ 1')).toBe('c b a');
  expect(order('a < b @ 1', 'b < c @ 2', 'c @ 3')).toBe('c b a');
  for (const names of ['a b c', 'a c b', 'b a c', 'b c a', 'c a b', 'c b a'])
    expect(order(...names.split(' '))).toBe('a b c');
});

test('a missing parent does not prevent an order', () => {
  expect(order('b < elsewhere @ 2', 'a < b @ 1')).toBe('b a');
});

test('a circle is named without the checkpoints that depend on it', () => {
  expect(() => order('x < a', 'a < b', 'b < a')).toThrow(/circle: a → b → a$/);
  expect(() => order('a < b', 'b < c', 'c < b')).toThrow(/circle: b → c → b$/);
});
