/** The advice for all checkpoints of a guest is united in as few calls as possible. */
import { expect, test } from 'vitest';
import { type Need, uniteAdvice } from '../../../../src/checkpoint/repair/unite-advice.ts';
import { repairCommand } from '../../../../src/cli/remedy/checkpoint-words.ts';
import type { RepairCall } from '../../../../src/remedy.ts';

type CheckpointCall = Extract<RepairCall, { kind: 'repair-checkpoint' }>;

function need(image: string, name: string, call: Partial<CheckpointCall> = {}): Need {
  return {
    image,
    name,
    call: {
      kind: 'repair-checkpoint',
      images: [image],
      names: undefined,
      consents: [],
      origins: [],
      branches: [],
      isAgainst: false,
      ...call,
    },
  };
}

function commands(needs: readonly Need[], images: readonly string[], isOnFile = true): string[] {
  return [...new Set([...uniteAdvice(needs, images, isOnFile).values()].map((call) => repairCommand(call)))];
}

test('checkpoints that need only a repair are united in one call for all disks', () => {
  expect(commands([need('a', 'c1'), need('a', 'c2'), need('b', 'c1')], ['a', 'b'])).toEqual([
    'bitmap-tool repair a b',
  ]);
});

test('the united call has the consents that any of its checkpoints needs', () => {
  const needs = [
    need('a', 'c1', { consents: ['rebuild-origin'] }),
    need('a', 'c2'),
    need('a', 'c3', { consents: ['enable-disabled'] }),
  ];
  expect(commands(needs, ['a'])).toEqual(['bitmap-tool repair --rebuild-origin --enable-disabled a']);
});

test('one name that must be given adds all names', () => {
  const needs = [need('a', 'c1', { names: ['c1'] }), need('a', 'c2'), need('b', 'c2')];
  expect(commands(needs, ['a', 'b'], false)).toEqual(['bitmap-tool repair --name c1 --name c2 a b']);
});

test('an origin on one disk is only for the checkpoints that need it there', () => {
  const needs = [
    need('a', 'c1'),
    need('a', 'c2', { names: ['c2'], origins: [null] }),
    need('b', 'c1', { names: ['c1'], origins: ['b'] }),
  ];
  expect(commands(needs, ['a', 'b'], false)).toEqual([
    'bitmap-tool repair --name c1 --origin b a b',
    'bitmap-tool repair --name c2 --origin IMAGE a b',
  ]);
});

test('checkpoints with the same origins share a call, with one origin for each disk', () => {
  const lost = { names: ['x'], origins: [null] };
  const needs = ['a', 'b'].flatMap((image) => ['c1', 'c2'].map((name) => need(image, name, lost)));
  expect(commands([...needs, need('a', 'c3')], ['a', 'b'], false)).toEqual([
    'bitmap-tool repair --name c1 --name c2 --origin IMAGE --origin IMAGE a b',
    'bitmap-tool repair --name c3 a b',
  ]);
});

test('two origins of one disk need two calls, each with its names and the disks of these names', () => {
  const needs = [
    need('a', 'c1', { origins: ['base'] }),
    need('a', 'c2', { origins: ['mid'] }),
    need('b', 'c1', { origins: ['b0'] }),
  ];
  expect(commands(needs, ['a', 'b'])).toEqual([
    'bitmap-tool repair --name c1 --origin base --origin b0 a b',
    'bitmap-tool repair --name c2 --origin mid a',
  ]);
});

test('each checkpoint that needs a backup has a call of its own', () => {
  const against = { names: ['x'], isAgainst: true };
  const needs = [need('a', 'c1', against), need('a', 'c2', against), need('a', 'c3')];
  expect(commands(needs, ['a'])).toEqual([
    'bitmap-tool repair --name c1 --against BACKUP a',
    'bitmap-tool repair --name c2 --against BACKUP a',
    'bitmap-tool repair --name c3 a',
  ]);
});

test('a call that must come first stays separate', () => {
  const first: Need = { image: 'a', name: 'c1', call: { kind: 'repair-directory-first', file: 'a' } };
  const lower = need('a', 'c3', { images: ['base'], names: ['c3'] });
  expect(commands([first, need('a', 'c2'), lower], ['a'])).toEqual([
    'bitmap-tool repair --directory a',
    'bitmap-tool repair --name c3 base',
    'bitmap-tool repair a',
  ]);
});
