/** libvirt's rule on libvirt's own test chains, and the problems that libvirt does not detect. */
import { describe, expect, test } from 'vitest';
import type { OriginEvidence } from '../../../../src/checkpoint/known/origin-evidence.ts';
import { type Holding, judge } from '../../../../src/checkpoint/verdict/verdict.ts';
import { chain, MIB, madeIn } from '../holdings.ts';

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

  test('names the image that the XML records if no image has the bitmap', () => {
    const message = (isCertain: boolean) =>
      judge('c', chain('..'), madeIn(1, isCertain)).problems[0]!.message;
    expect(message(true)).toMatch(/"c"; by its XML it began in 1\.qcow2$/);
    expect(message(false)).toMatch(/began in 1\.qcow2, unless another image has taken that path since$/);
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
