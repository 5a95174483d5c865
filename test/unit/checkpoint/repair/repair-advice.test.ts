/** The call of `repair` that is advised for a checkpoint. */
import { describe, expect, test } from 'vitest';
import type { OriginEvidence } from '../../../../src/checkpoint/known/origin-evidence.ts';
import { repairAdvice } from '../../../../src/checkpoint/repair/repair-advice.ts';
import type { Holding } from '../../../../src/checkpoint/verdict/verdict.ts';
import { repairCommand } from '../../../../src/cli/remedy/checkpoint-words.ts';
import { chain, MIB, madeIn } from '../holdings.ts';

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
