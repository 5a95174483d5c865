/** A plan is carried out in order, and after a failed step the message says what is on disk. */
import { describe, expect, test } from 'vitest';
import { FailedError, RefusedError } from '../../../src/errors.ts';
import { hostOffset } from '../../../src/format/addresses.ts';
import { applyPlan } from '../../../src/plan/apply-plan.ts';
import { flush, type Plan, write } from '../../../src/plan/plan.ts';
import type { Storage } from '../../../src/storage/storage.ts';

/** The write at 3 is the commit: the one whose flush makes the new bitmaps durable. */
const plan: Plan = {
  steps: [
    write(hostOffset(512), Uint8Array.of(1), 'data of bitmap "c1"'),
    write(hostOffset(1024), Uint8Array.of(2, 3), 'table of bitmap "c1"'),
    flush('new clusters'),
    write(hostOffset(104), Uint8Array.of(4), 'bitmaps extension'),
    flush('the bitmaps extension'),
    write(hostOffset(2048), Uint8Array.of(5), 'released refcounts'),
    flush('released refcounts'),
  ],
  commitIndex: 4,
  claimedClusters: 2,
  releasedClusters: 1,
  newEndOffset: 4096,
};

/** Records the requests, and fails at the given one. */
function recorder(failsAt: number, cause: unknown): { storage: Storage; log: string[] } {
  const log: string[] = [];
  const note = async (step: string) => {
    log.push(step);
    if (log.length - 1 === failsAt) throw cause;
  };
  const storage = {
    name: 'disk.qcow2',
    write: (offset: number, bytes: Uint8Array) => note(`write ${offset} ${bytes.join(' ')}`),
    flush: () => note('flush'),
  } as unknown as Storage;
  return { storage, log };
}

const ALL = ['write 512 1', 'write 1024 2 3', 'flush', 'write 104 4', 'flush', 'write 2048 5', 'flush'];

test('a plan is carried out step by step in order', async () => {
  const { storage, log } = recorder(-1, undefined);
  await applyPlan(storage, plan);
  expect(log).toEqual(ALL);
});

const BEFORE = /; its bitmaps are as before; clusters may have leaked$/;
const EITHER =
  /; its bitmaps are all as before or, if that write reached the device, all new; clusters may have leaked$/;
const AFTER = /; the new bitmaps are in place; clusters that the old ones used may have leaked$/;

describe('after a failed step no other step follows, and the message says what is on disk:', () => {
  test.each([
    [0, 'write of data of bitmap "c1"', BEFORE],
    [1, 'write of table of bitmap "c1"', BEFORE],
    [2, 'flush of new clusters', BEFORE],
    [3, 'write of bitmaps extension', EITHER],
    [4, 'flush of the bitmaps extension', EITHER],
    [5, 'write of released refcounts', AFTER],
    [6, 'flush of released refcounts', AFTER],
  ])('step %i, %s', async (index, step, state) => {
    const cause = new FailedError('NO_SPACE', 'disk.qcow2: no space', { context: { file: 'disk.qcow2' } });
    const { storage, log } = recorder(index, cause);
    const failure = await applyPlan(storage, plan).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(FailedError);
    expect(failure).toMatchObject({
      code: 'NO_SPACE',
      cause,
      context: { file: 'disk.qcow2', step: index, steps: 7 },
      remedy: {
        kind: 'steps',
        steps: [{ kind: 'remove-cause' }, { kind: 'free-leaks-of-failure', file: 'disk.qcow2' }],
      },
    });
    const { message } = failure as Error;
    expect(message).toMatch(state);
    expect(message.startsWith(`disk.qcow2: no space (${step}); `)).toBe(true);
    expect(log).toEqual(ALL.slice(0, index + 1));
  });
});

describe('adjacent writes', () => {
  const count = 40;
  const steps = Array.from({ length: count }, (_, index) =>
    write(hostOffset(4096 + index), Uint8Array.of(index), `cluster ${index}`),
  );
  /** The last of them is the commit. */
  const adjacent: Plan = { ...plan, steps: [...steps, flush('it')], commitIndex: count };

  /** Holds each write until all those that are made at once have begun. */
  function waiting(fails: readonly number[]) {
    const rounds: number[][] = [];
    let waiting: number[] = [];
    const storage = {
      name: 'disk.qcow2',
      async write(offset: number) {
        waiting.push(offset - 4096);
        await new Promise((resolve) => setImmediate(resolve));
        if (waiting.length > 0) rounds.push(waiting);
        waiting = [];
        if (fails.includes(offset - 4096)) throw new FailedError('IO_ERROR', `write ${offset - 4096}`);
      },
      async flush() {
        rounds.push([]);
      },
    } as unknown as Storage;
    return { storage, rounds };
  }

  test('are made at once, but the commit is made after all others', async () => {
    const { storage, rounds } = waiting([]);
    await applyPlan(storage, adjacent);
    expect(rounds.map(({ length }) => length)).toEqual([16, 16, 7, 1, 0]);
    expect(rounds.flat()).toEqual(steps.map((_, index) => index));
  });

  test('have all ended when the first failed one is reported, and no other step follows', async () => {
    const { storage, rounds } = waiting([25, 20]);
    await expect(applyPlan(storage, adjacent)).rejects.toMatchObject({
      message: expect.stringMatching(/^write 20 \(write of cluster 20\); its bitmaps are as before/),
      context: { step: 20 },
    });
    expect(rounds.map(({ length }) => length)).toEqual([16, 16]);
  });

  test('are only those that begin at the end of the one before', async () => {
    const apart = steps.map((step, index) => ({ ...step, offset: hostOffset(4096 + index * 2) }));
    const over = steps.map((step) => ({ ...step, offset: hostOffset(4096) }));
    for (const each of [apart, over]) {
      const { storage, rounds } = waiting([]);
      await applyPlan(storage, { ...adjacent, steps: each });
      expect(rounds.map(({ length }) => length)).toEqual(each.map(() => 1));
    }
  });
});

test('any other error of a write is a failure of the device, and a bug stays a bug', async () => {
  const refused = recorder(0, new RefusedError('NO_ROOM', 'disk.qcow2: ends here'));
  await expect(applyPlan(refused.storage, plan)).rejects.toMatchObject({ code: 'IO_ERROR', exitCode: 1 });
  const bug = new TypeError('not a function');
  await expect(applyPlan(recorder(0, bug).storage, plan)).rejects.toBe(bug);
});
