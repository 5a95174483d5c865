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
  const at = (index: number, distance: number) => hostOffset(4096 + index * distance);
  const writes = (distance: number) =>
    Array.from({ length: count }, (_, index) => write(at(index, distance), new Uint8Array(2), `${index}`));
  /** The last write is the commit. */
  const planOf = (distance: number): Plan => ({
    ...plan,
    steps: [...writes(distance), flush('it')],
    commitIndex: count,
  });

  /** Records offset and number of parts. */
  function counting(failsAt?: number) {
    const requests: [offset: number, parts: number][] = [];
    const storage = {
      name: 'disk.qcow2',
      async write(offset: number, ...parts: Uint8Array[]) {
        requests.push([offset, parts.length]);
        if (requests.length - 1 === failsAt) throw new FailedError('IO_ERROR', 'disk.qcow2: failed');
      },
      async flush() {},
    } as unknown as Storage;
    return { storage, requests };
  }

  test('are one request, and the commit is a request of its own', async () => {
    const { storage, requests } = counting();
    await applyPlan(storage, planOf(2));
    expect(requests).toEqual([
      [at(0, 2), 39],
      [at(39, 2), 1],
    ]);
  });

  test('are at most 64 MiB, since one call of Node moves less than 2 GiB', async () => {
    const MiB = 2 ** 20;
    const steps = [30, 30, 4, 1, 100, 1, 1].map((size, index, sizes) => {
      const offset = sizes.slice(0, index).reduce((sum, each) => sum + each, 1) * MiB;
      return write(hostOffset(offset), new Uint8Array(size * MiB), `${index}`);
    });
    const { storage, requests } = counting();
    await applyPlan(storage, { ...plan, steps: [...steps, flush('it')], commitIndex: steps.length });
    expect(requests.map(([, parts]) => parts)).toEqual([3, 1, 1, 1, 1]);
  });

  test('are at most 1024 parts, since small clusters could make more than one call can take', async () => {
    const steps = Array.from({ length: 2 ** 17 }, (_, index) => write(at(index, 2), new Uint8Array(2), ''));
    const { storage, requests } = counting();
    await applyPlan(storage, { ...plan, steps: [...steps, flush('it')], commitIndex: steps.length });
    expect(requests.map(([, parts]) => parts)).toEqual([...Array(127).fill(1024), 1023, 1]);
  });

  test('that fail are reported as the first of them', async () => {
    const { storage, requests } = counting(1);
    const steps = [write(hostOffset(0), new Uint8Array(2), 'apart'), ...planOf(2).steps];
    await expect(applyPlan(storage, { ...plan, steps, commitIndex: count + 1 })).rejects.toMatchObject({
      message: expect.stringMatching(/^disk.qcow2: failed \(write of 0\); its bitmaps are as before/),
      context: { step: 1 },
    });
    expect(requests).toHaveLength(2);
  });

  test.each([0, 1, 3])(
    'are only those at the end of the write before: %i bytes after its start',
    async (distance) => {
      const { storage, requests } = counting();
      await applyPlan(storage, planOf(distance));
      expect(requests).toEqual(Array.from({ length: count }, (_, index) => [at(index, distance), 1]));
    },
  );
});

test('any other error of a write is a failure of the device, and a bug stays a bug', async () => {
  const refused = recorder(0, new RefusedError('NO_ROOM', 'disk.qcow2: ends here'));
  await expect(applyPlan(refused.storage, plan)).rejects.toMatchObject({ code: 'IO_ERROR', exitCode: 1 });
  const bug = new TypeError('not a function');
  await expect(applyPlan(recorder(0, bug).storage, plan)).rejects.toBe(bug);
});
