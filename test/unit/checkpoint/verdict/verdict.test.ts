/** libvirt's rule on libvirt's own test chains, and the problems that libvirt does not detect. */
import { describe, expect, test } from 'vitest';
import {
  type BitmapState,
  lowestHolderIndex,
  stateOfEntry,
} from '../../../../src/checkpoint/chain/bitmap-state.ts';
import type { OriginEvidence } from '../../../../src/checkpoint/known/origin-evidence.ts';
import { decideRepair } from '../../../../src/checkpoint/repair/repair-action.ts';
import { repairAdvice } from '../../../../src/checkpoint/repair/repair-advice.ts';
import { type Holding, judge } from '../../../../src/checkpoint/verdict/verdict.ts';
import { repairCommand } from '../../../../src/cli/remedy/checkpoint-words.ts';

const MIB = 1 << 20;

/** By letter, top first: `.` missing, `g` good, `d` disabled, `u` in-use, `s` stale, `x` unreadable, `r` recording. */
const STATES: Readonly<Record<string, BitmapState>> = {
  '.': 'missing',
  g: 'good',
  d: 'disabled',
  u: 'in-use',
  s: 'stale',
  x: 'unreadable',
  r: 'recording',
};

function chain(states: string, changes: Readonly<Record<number, Partial<Holding>>> = {}): Holding[] {
  return [...states].map((letter, index) => ({
    image: `${index}.qcow2`,
    state: STATES[letter]!,
    virtualSizeBytes: MIB,
    missingBytes: 0,
    ...changes[index],
  }));
}

/** The XML shows the old active image. Without an index nothing shows it. */
function madeIn(index: number | undefined, isCertain = true): OriginEvidence {
  return index === undefined ? { kind: 'unknown' } : { kind: 'in-chain', index, isCertain };
}

function found(holdings: readonly Holding[], origin?: OriginEvidence): string[] {
  return judge('c', holdings, origin).problems.map(({ code, image }) => `${image ?? 'chain'}: ${code}`);
}

describe('libvirt', () => {
  test.each([
    // tests/qemublocktestdata/bitmap: "snapshots", then "synthetic", of libvirt 9.0.
    ['ggggg', true],
    ['ggg..', true],
    ['gg...', true],
    ['g....', true],
    ['....g', false],
    ['..d..', false],
    ['.gg..', false],
    ['u....', false],
    ['d....', false],
    // A gap, an invalid bitmap below a good one, and no bitmap.
    ['g.g', false],
    ['gd', false],
    ['gu', false],
    ['gs', false],
    ['gx', false],
    ['rg', true],
    ['...', false],
  ])('accepts %s: %s', (states, accepted) => {
    expect(judge('c', chain(states)).accepted).toBe(accepted);
    expect(found(chain(states)).length === 0).toBe(accepted);
  });
});

describe('a verdict', () => {
  test.each([
    ['.g', ['0.qcow2: bitmap-missing']],
    ['g.g', ['1.qcow2: bitmap-gap']],
    [
      '.d.u',
      [
        '0.qcow2: bitmap-missing',
        '1.qcow2: bitmap-disabled',
        '2.qcow2: bitmap-gap',
        '3.qcow2: bitmap-in-use',
      ],
    ],
    ['sx', ['0.qcow2: bitmap-stale', '1.qcow2: bitmap-unreadable']],
    ['..', ['chain: no-bitmap']],
  ])('for %s names each image and its problem', (states, problems) => {
    expect(found(chain(states))).toEqual(problems);
  });

  test('reports images of another size down to the origin', () => {
    const other = { virtualSizeBytes: 2 * MIB };
    expect(found(chain('ggg.', { 1: other, 3: other }))).toEqual(['1.qcow2: size-mismatch']);
    expect(judge('c', chain('gg', { 1: other })).accepted).toBe(true);
  });

  test('reports bitmaps that lack allocated data, except in the origin', () => {
    const incomplete = { missingBytes: 512 };
    expect(found(chain('ggg', { 0: incomplete, 2: incomplete }))).toEqual(['0.qcow2: bitmap-incomplete']);
    expect(found(chain('g', { 0: incomplete }))).toEqual([]);
  });

  test('reports lost bitmaps if the origin is known', () => {
    expect(found(chain('g..'), madeIn(1))).toEqual(['1.qcow2: bitmap-lost']);
    expect(judge('c', chain('g..'), madeIn(2)).accepted).toBe(true);
    expect(found(chain('g..'), madeIn(2))).toEqual(['1.qcow2: bitmap-lost', '2.qcow2: bitmap-lost']);
    // The lowest image with a bitmap is then above the origin.
    expect(found(chain('gg.', { 1: { missingBytes: 1 } }), madeIn(2))).toContain(
      '1.qcow2: bitmap-incomplete',
    );
    expect(found(chain('gg'), madeIn(0))).toEqual([]);
  });

  test('reports that another image has the path of the origin', () => {
    const lower = { kind: 'lower', path: '0.qcow2', imagesThen: 1, first: 2, last: 2 } as const;
    expect(found(chain('...'), lower)).toEqual(['chain: no-bitmap']);
    expect(judge('c', chain('...'), lower).problems[0]!.message).toMatch(
      /another image .* began in 2\.qcow2/,
    );
    expect(judge('c', chain('g..'), lower).accepted).toBe(true);
    expect(found(chain('gg.', { 1: { missingBytes: 1 } }), lower)).toEqual([
      '1.qcow2: bitmap-incomplete',
      '2.qcow2: origin-replaced',
    ]);
    expect(found(chain('ggg'), lower)).toEqual([]);
  });

  test('reports that the origin has left the chain, unless its bitmap was merged below', () => {
    const left = { kind: 'left', path: 's1.qcow2', isThere: true, fork: 1 } as const;
    expect(judge('c', chain('..'), left).problems).toEqual([
      { code: 'no-bitmap', image: null, message: expect.stringMatching(/s1\.qcow2, .*is not in the chain/) },
    ]);
    expect(found(chain('g.'), left)).toEqual(['0.qcow2: origin-left']);
    expect(found(chain('gg'), left)).toEqual([]);
  });
});

test('the lowest holder is the lowest image that has the bitmap in any state', () => {
  const lowest = (states: string) => lowestHolderIndex([...states].map((letter) => STATES[letter]!));
  expect(['g', '.g.', 'g.d.', 's', '..', ''].map(lowest)).toEqual([0, 1, 2, 0, undefined, undefined]);
});

test('in-use outweighs enabled', () => {
  const states = [
    [true, false],
    [false, false],
    [true, true],
    [false, true],
  ].map(([auto, inUse]) => stateOfEntry({ auto, inUse } as Parameters<typeof stateOfEntry>[0]));
  expect(states).toEqual(['good', 'disabled', 'in-use', 'in-use']);
});

describe('the repair of a bitmap', () => {
  test.each<[BitmapState, boolean, boolean, string, string | undefined]>([
    ['missing', false, false, 'add', undefined],
    ['missing', true, false, 'add', 'rebuild-origin'],
    ['good', false, true, 'keep', undefined],
    ['good', false, false, 'top-up', undefined],
    ['good', true, false, 'keep', undefined],
    ['in-use', false, false, 'rebuild', undefined],
    ['in-use', true, true, 'rebuild', 'rebuild-origin'],
    ['stale', false, true, 'rebuild', undefined],
    ['stale', true, true, 'rebuild', 'rebuild-origin'],
    ['disabled', false, true, 'enable', 'enable-disabled'],
    ['disabled', true, true, 'enable', 'enable-disabled'],
  ])(
    'that is %s (origin: %s, covers: %s) is to %s it, with consent to %s',
    (state, isOrigin, covers, action, consent) => {
      expect(decideRepair(state, isOrigin, covers)).toEqual({ action, consent });
    },
  );
});

/** The advice as text. */
function adviceFor(images: readonly Holding[], evidence: OriginEvidence): string | null {
  const call = repairAdvice('c', images, evidence);
  return call === null ? null : repairCommand(call);
}

describe('advice', () => {
  test.each([
    ['gg', undefined, null],
    ['.g', undefined, 'bitmap-tool repair 0.qcow2'],
    ['u', undefined, 'bitmap-tool repair --name c --rebuild-origin 0.qcow2'],
    ['ug', undefined, 'bitmap-tool repair --name c 0.qcow2'],
    ['gd', undefined, 'bitmap-tool repair --name c --enable-disabled 0.qcow2'],
    ['gx', undefined, 'bitmap-tool repair --directory 1.qcow2'],
    ['..', undefined, 'bitmap-tool repair --name c --origin IMAGE 0.qcow2'],
    ['..', 1, 'bitmap-tool repair --name c --origin 1.qcow2 0.qcow2'],
    ['.', 0, 'bitmap-tool repair --name c --origin 0.qcow2 0.qcow2'],
    ['g.', 1, 'bitmap-tool repair --name c --origin 1.qcow2 0.qcow2'],
    ['..', 0, 'bitmap-tool repair --name c --origin 0.qcow2 0.qcow2'],
    ['g..', 1, 'bitmap-tool repair --name c --origin 1.qcow2 0.qcow2'],
    ['d.', 1, 'bitmap-tool repair --name c --enable-disabled --origin 1.qcow2 0.qcow2'],
    ['gg', 1, null],
    ['.g', 1, 'bitmap-tool repair 0.qcow2'],
  ])('for %s (known origin: %s) is %s', (states, origin, advice) => {
    expect(adviceFor(chain(states), madeIn(origin))).toBe(advice);
  });

  test('asks the user for the image if only a path shows it and images are below it', () => {
    expect(adviceFor(chain('..'), madeIn(0, false))).toBe(
      'bitmap-tool repair --name c --origin IMAGE 0.qcow2',
    );
  });

  test('names the old image if another one has its path, and the branch if it has left the chain', () => {
    const lower = { kind: 'lower', path: '0.qcow2', imagesThen: 1, first: 1, last: 1 } as const;
    expect(adviceFor(chain('..'), lower)).toBe('bitmap-tool repair --name c --origin 1.qcow2 0.qcow2');
    const left = { kind: 'left', path: 's1.qcow2', isThere: true, fork: 1 } as const;
    for (const states of ['..', 'g.'])
      expect(adviceFor(chain(states), left)).toBe('bitmap-tool repair --name c --branch s1.qcow2 0.qcow2');
    expect(adviceFor(chain('..'), { ...left, isThere: false })).toBe(
      'bitmap-tool repair --name c --against BACKUP 0.qcow2',
    );
    expect(adviceFor(chain('.g'), left)).toBe('bitmap-tool repair 0.qcow2');
  });

  test('for images of different sizes is to enlarge the smaller one after its bitmap can be resized', () => {
    const sizes = { 0: { virtualSizeBytes: 2 * MIB } };
    expect(adviceFor(chain('gg', sizes), madeIn(undefined))).toBe(`qemu-img resize 1.qcow2 ${2 * MIB}`);
    expect(adviceFor(chain('gu', sizes), madeIn(undefined))).toBe(
      'bitmap-tool repair --name c --rebuild-origin 1.qcow2',
    );
    const smallTop = { 1: { virtualSizeBytes: 2 * MIB } };
    expect(adviceFor(chain('ug', smallTop), madeIn(undefined))).toBe('bitmap-tool repair --name c 0.qcow2');
  });
});
