/** The choice of checkpoints: known or named ones, and never a name without a usable bitmap. */
import { expect, test } from 'vitest';
import {
  chooseCheckpoints,
  type KnownCheckpoint,
} from '../../../../src/checkpoint/known/choose-checkpoints.ts';
import { RefusedError, UsageError } from '../../../../src/errors.ts';
import { chainOf } from '../chain-of.ts';

const known = (...names: string[]): KnownCheckpoint[] =>
  names.map((name, index) => ({
    name,
    parent: names[index - 1],
    origin: { kind: 'in-chain' as const, index, isCertain: true },
  }));
const namesOf = (checkpoints: readonly KnownCheckpoint[]) => checkpoints.map(({ name }) => name);

/** Top first. */
const images = chainOf(
  { new: 'good', off: 'disabled', 'libvirt-tmp-x': 'good' },
  { old: 'good', off: 'good', used: 'in-use', '#ALLOCATED': 'good', '': 'good' },
  { oldest: 'good', old: 'in-use', 'backup-vda': 'good' },
);

test('without files, every name whose topmost bitmap is good is a checkpoint', () => {
  const { chosen, unclear, unknown } = chooseCheckpoints(images, undefined, undefined);
  expect(chosen).toEqual(
    ['oldest', 'old', 'new'].map((name) => ({ name, parent: undefined, origin: { kind: 'unknown' } })),
  );
  expect(unclear).toEqual(['off', 'used']);
  expect(unknown).toEqual([]);
});

test('named checkpoints are chosen in the given order, each once', () => {
  const { chosen, unclear, unknown } = chooseCheckpoints(images, ['off', 'gone', 'off'], undefined);
  expect(namesOf(chosen)).toEqual(['off', 'gone']);
  expect([unclear, unknown]).toEqual([[], []]);
});

test('all known checkpoints are chosen, and other bitmaps of the chain are reported', () => {
  const all = known('oldest', 'old', 'gone');
  const { chosen, unclear, unknown } = chooseCheckpoints(images, undefined, all);
  expect(chosen).toEqual(all);
  expect([unclear, unknown]).toEqual([[], ['off', 'used', 'new']]);
});

test('named checkpoints on file are chosen with parents first', () => {
  const { chosen } = chooseCheckpoints(images, ['gone', 'oldest'], known('oldest', 'old', 'gone'));
  expect(namesOf(chosen)).toEqual(['oldest', 'gone']);
  expect(() => chooseCheckpoints(images, ['oldest', 'new'], known('oldest'))).toThrow(
    new UsageError('"new": no such checkpoint among the known ones', {
      remedy: { kind: 'name-existing-checkpoint', names: ['oldest'] },
    }),
  );
});

test.each(['libvirt-tmp-x', 'backup-vda', '#ALLOCATED', ''])('%j is never a checkpoint', (name) => {
  for (const knowledge of [undefined, known(name)])
    expect(() => chooseCheckpoints(images, ['old', name], knowledge)).toThrow(RefusedError);
});
