/** Every function of the library in a typical use, and a signal before the first write. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as library from '../../../src/index.ts';
import {
  addBitmaps,
  applyBitmapActions,
  carryCheckpoints,
  checkCheckpoints,
  checkpointsOfFiles,
  checkpointsOfImages,
  clearBitmaps,
  createCheckpoint,
  createFrom,
  disableBitmaps,
  dumpBitmap,
  enableBitmaps,
  inspectImage,
  listBitmaps,
  mapAllocation,
  measure,
  mergeBitmaps,
  type OperationOptions,
  type Progress,
  removeBitmaps,
  removeChosen,
  repairCheckpoints,
  repairDirectory,
  verifyBitmap,
} from '../../../src/index.ts';
import { digest } from '../../support/file-state.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

interface Example {
  /** An overlay of 4 MiB with bitmaps c1 and c2, where c1 marks 1 MiB at 1 MiB, and c2, disabled, nothing. */
  run(overlay: string, options: OperationOptions): Promise<unknown>;
  /** What it returns, or a part of that. */
  result: unknown;
  /** Names of the bitmaps afterwards, for those that write. */
  names?: string[];
  /** Reads no image, or little of one. */
  isBrief?: boolean;
}

const MIB = 1 << 20;
const data = { start: MIB, length: MIB, depth: 0, present: true, data: true, zero: false, compressed: false };

const CHECKPOINT = `<domaincheckpoint>
  <name>c1</name>
  <creationTime>1700000000</creationTime>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='c1'/>
  </disks>
</domaincheckpoint>
`;

const EXAMPLES: Record<string, Example> = {
  createFrom: {
    run: (overlay, options) => createFrom(overlay, { kind: 'allocated' }, { ...options, names: ['c3'] }),
    result: { bitmaps: [{ name: 'c3', action: 'created', enabled: true, dirtyBytes: MIB }] },
    names: ['c1', 'c2', 'c3'],
  },
  addBitmaps: {
    run: (overlay, options) => addBitmaps(overlay, ['c3', 'c4'], { ...options, granularity: 4096 }),
    result: { bitmaps: ['c3', 'c4'] },
    names: ['c1', 'c2', 'c3', 'c4'],
  },
  removeBitmaps: {
    run: (overlay, options) => removeBitmaps(overlay, ['c1'], options),
    result: { bitmaps: ['c1'] },
    names: ['c2'],
  },
  removeChosen: {
    run: (overlay, options) => removeChosen(overlay, { kind: 'all' }, { ...options, chain: true }),
    result: { images: [{ bitmaps: ['c1', 'c2'] }] },
    names: [],
  },
  createCheckpoint: {
    run: (overlay, options) => createCheckpoint('c3', [overlay], { ...options, disks: ['vda'] }),
    result: { checkpoint: 'c3', parent: 'c1', disks: [{ disk: 'vda', action: 'created' }] },
    names: ['c1', 'c2', 'c3'],
  },
  clearBitmaps: {
    run: (overlay, options) => clearBitmaps(overlay, ['c1'], options),
    result: { bitmaps: ['c1'] },
    names: ['c1', 'c2'],
  },
  enableBitmaps: {
    run: (overlay, options) => enableBitmaps(overlay, ['c2'], options),
    result: { bitmaps: ['c2'] },
    names: ['c1', 'c2'],
  },
  disableBitmaps: {
    run: (overlay, options) => disableBitmaps(overlay, ['c1'], options),
    result: { bitmaps: ['c1'] },
    names: ['c1', 'c2'],
  },
  mergeBitmaps: {
    run: (overlay, options) => mergeBitmaps(overlay, 'c2', { names: ['c1', library.ALLOCATED] }, options),
    result: { bitmaps: ['c2'] },
    names: ['c1', 'c2'],
  },
  checkCheckpoints: {
    run: (overlay, options) => checkCheckpoints([overlay], options),
    result: { healthy: false, disks: [{ checkpoints: [{ name: 'c1', valid: true }, { name: 'c2' }] }] },
  },
  repairCheckpoints: {
    run: (overlay, options) =>
      repairCheckpoints([overlay], { ...options, names: ['c2'], enableDisabled: true }),
    result: { disks: [{ images: [{ bitmaps: [{ name: 'c2', action: 'enable', dirtyBytes: MIB }] }] }] },
    names: ['c1', 'c2'],
  },
  repairDirectory: {
    run: (overlay, options) => repairDirectory(overlay, options),
    result: { wasUnopenable: false, bitmaps: [{ name: 'c1', fate: 'kept' }, { name: 'c2' }], plan: null },
  },
  applyBitmapActions: {
    run: (overlay, options) =>
      applyBitmapActions(overlay, 'c3', [{ kind: 'add' }, { kind: 'merge', source: 'c1' }], options),
    result: { bitmaps: ['c3'], plan: { claimedClusters: expect.any(Number) } },
    names: ['c1', 'c2', 'c3'],
  },
  measure: {
    run: (overlay, options) => measure(overlay, { kind: 'everything' }, { ...options, names: ['c3'] }),
    result: { bitmaps: ['c3'], requiredBytes: expect.any(Number), newEndOffset: expect.any(Number) },
  },
  listBitmaps: {
    run: (overlay, options) => listBitmaps(overlay, options),
    result: { virtualSize: 4 * MIB, bitmaps: [{ name: 'c1', dirtyBytes: MIB }, { name: 'c2' }] },
  },
  inspectImage: {
    run: (overlay, options) => inspectImage(overlay, { ...options, parts: ['directory'] }),
    result: { directory: { entries: [{ name: 'c1' }, { name: 'c2' }] } },
    isBrief: true,
  },
  mapAllocation: {
    async run(overlay, options) {
      const extents = [];
      for await (const batch of mapAllocation(overlay, options)) extents.push(...batch);
      return extents;
    },
    result: [{ start: 0, length: MIB, depth: 1 }, data, { start: 2 * MIB, length: 2 * MIB, depth: 1 }],
  },
  dumpBitmap: {
    async run(overlay, options) {
      const dump = await dumpBitmap(overlay, library.ALLOCATED, options);
      return [...dump.extents()].filter(({ type }) => type === 1);
    },
    result: [{ offset: MIB, length: MIB, type: 1, description: 'dirty' }],
  },
  verifyBitmap: {
    run: (overlay, options) => verifyBitmap(overlay, 'c1', backingOf(overlay), options),
    result: { covered: true, missingBytes: 0, dirtyBytes: MIB },
  },
  carryCheckpoints: {
    run: (overlay, options) => carryCheckpoints(overlay, backingOf(overlay), { ...options, names: ['c1'] }),
    result: { bitmaps: [{ name: 'c1', action: 'created', dirtyBytes: MIB }], differingBytes: null },
  },
  checkpointsOfImages: {
    run: (overlay, options) =>
      checkpointsOfImages([overlay], { ...options, disks: ['vda'], time: 1_700_000_000 }),
    result: { checkpoints: [{ name: 'c1', parent: null, xml: CHECKPOINT }] },
  },
  checkpointsOfFiles: {
    async run(overlay, options) {
      const file = join(dirname(overlay), 'c1.xml');
      await writeFile(file, CHECKPOINT.replace('</disks>', '</disks><domain/>'));
      return checkpointsOfFiles([file], options);
    },
    result: { checkpoints: [{ name: 'c1', creationTime: 1_700_000_000, xml: CHECKPOINT }] },
    isBrief: true,
  },
};

const backingOf = (overlay: string) => overlay.replace('overlay', 'base');

async function makeOverlay(): Promise<string> {
  const overlay = join(await scratchFolder(), 'overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', backingOf(overlay), '4M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', overlay);
  await qemuImg('bitmap', '--add', overlay, 'c1');
  await qemuImg('bitmap', '--add', '--disable', overlay, 'c2');
  await qemuIo(overlay, 'write -q -P 1 1M 1M');
  return overlay;
}

/** Their examples need a running QEMU, or a guest of libvirt: see running.test.ts and domain.test.ts. */
const IN_GUESTS = /Running$|^openQemu$|Domain$/;

test('every function has an example', () => {
  const functions = Object.entries(library)
    .filter(([, value]) => typeof value === 'function' && !(value.prototype instanceof Error))
    .map(([name]) => name)
    .filter((name) => !IN_GUESTS.test(name));
  expect(Object.keys(EXAMPLES).sort()).toEqual(functions.sort());
});

describe.each(Object.entries(EXAMPLES))('%s', (_, { run, result, names, isBrief = false }) => {
  test('works and reports progress', async () => {
    const overlay = await makeOverlay();
    const before = await digest(overlay);
    const reports: Progress[] = [];
    const { signal } = new AbortController();
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const answer = await run(overlay, {
      signal,
      onProgress: (progress) => reports.push(progress),
      onWarning,
    });
    expect(answer).toMatchObject(result as object);
    expect(warnings).toEqual([]);

    expect(reports.length === 0).toBe(isBrief);
    for (const { phase, doneBytes, totalBytes } of reports) {
      expect(phase).toMatch(/^[a-z][a-zL0-9 -]+$/i);
      expect(doneBytes).toBeGreaterThanOrEqual(0);
      expect(doneBytes).toBeLessThanOrEqual(totalBytes);
    }
    expect((await digest(overlay)) === before).toBe(names === undefined);
    expect((await qemuBitmaps(overlay)).map(({ name }) => name)).toEqual(names ?? ['c1', 'c2']);
    expect(await qemuCheck(overlay)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
  });
});

describe.each(Object.entries(EXAMPLES))('%s', (_, { run, result, names }) => {
  test('stops with the reason of its signal before anything is written', async () => {
    const overlay = await makeOverlay();
    const before = await digest(overlay);
    const reason = new Error('no longer wanted');
    await expect(run(overlay, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(await digest(overlay)).toBe(before);

    // Not only at the start: as soon as the reading has begun.
    const abort = new AbortController();
    const options = { signal: abort.signal, onProgress: () => abort.abort(reason) };
    if (names !== undefined) await expect(run(overlay, options)).rejects.toBe(reason);
    expect(await digest(overlay)).toBe(before);
    expect(await run(overlay, {})).toMatchObject(result as object);
  });
});
