/** Every function of the library refuses wrong arguments before it opens or asks anything. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import * as library from '../../../src/index.ts';
import { demo, writableCopy } from '../golden/cases.ts';

interface Row {
  /** Right arguments without options. A function that takes them opens the image, which does not exist. */
  given: unknown[];
  /** Its options besides those that every function takes; undefined if it takes none. */
  options?: Record<string, unknown>;
  /** It takes `dryRun`. */
  writes?: boolean;
  /** The position of an argument that may be undefined. */
  mayLack?: number;
}

const image = 'no-such-file.qcow2';
const QEMU = { name: 'fake', place: {}, qmp: { execute: () => Promise.reject(new Error('was asked')) } };
/** The images of a guest must be on this host. */
const OTHER_HOST = { domain: 'guest', connect: 'qemu+ssh://elsewhere/system' };
const FILES = { checkpoints: ['no-such.xml'], documents: [{ origin: 'libvirt', xml: '' }], disks: ['vda'] };
const REPAIR = {
  names: ['a'],
  origins: ['older'],
  rebuildOrigin: true,
  enableDisabled: false,
};
const CREATE = { names: ['a'], granularity: 65536, ifExists: 'merge', disabled: true };

const changesNamed = (...first: unknown[]): Row => ({
  given: [...first, image, ['a', 'b']],
  options: {},
  writes: true,
});

const ROWS: Record<string, Row> = {
  addBitmaps: { ...changesNamed(), options: { granularity: 512, disabled: true } },
  removeBitmaps: changesNamed(),
  clearBitmaps: changesNamed(),
  enableBitmaps: changesNamed(),
  disableBitmaps: changesNamed(),
  mergeBitmaps: {
    given: [image, 'a', { names: ['b'], from: 'other', anySize: true, chain: false }],
    options: {},
    writes: true,
  },
  removeChosen: { given: [image, { kind: 'all' }], options: { chain: true }, writes: true },
  applyBitmapActions: {
    given: [image, 'a', [{ kind: 'add' }, { kind: 'merge', source: 'b' }]],
    options: { granularity: 4096, sourceImage: { path: 'other', format: undefined, backing: null } },
    writes: true,
    mayLack: 1,
  },
  createFrom: { given: [image, { kind: 'allocated' }], options: CREATE, writes: true },
  measure: { given: [image, { kind: 'data', above: 'base' }], options: CREATE, writes: true },
  repairDirectory: { given: [image], options: {}, writes: true },
  listBitmaps: { given: [image], options: { chain: true, dirtyShareParts: 5 } },
  dumpBitmap: { given: [image, 'a'], options: { chain: true } },
  verifyBitmap: { given: [image, 'a', 'older'], options: { chain: true } },
  inspectImage: { given: [image], options: { parts: ['header', 'refcounts'] } },
  mapAllocation: { given: [image], options: { layer: true, onImage: () => {} } },
  checkCheckpoints: { given: [[image]], options: { documents: [] } },
  repairCheckpoints: {
    given: [[image]],
    options: { ...REPAIR, against: ['backup'], branches: ['other'] },
    writes: true,
  },
  createCheckpoint: {
    given: ['c', [image]],
    options: { disks: ['vda'], granularity: 65536, parent: 'b', time: 0, output: 'new.xml' },
    writes: true,
  },
  carryCheckpoints: { given: ['from', image], options: { names: ['a'] }, writes: true },
  checkpointsOfFiles: { given: [[image]], options: {} },
  checkpointsOfImages: {
    given: [[image]],
    options: { names: ['a'], parent: 'b', time: 1_700_000_000, disks: ['vda'] },
  },
  openQemu: { given: [{ qmp: '/no/such/socket' }] },
  addRunning: { ...changesNamed(QEMU), options: { granularity: 512, disabled: true } },
  removeRunning: changesNamed(QEMU),
  clearRunning: changesNamed(QEMU),
  enableRunning: changesNamed(QEMU),
  disableRunning: changesNamed(QEMU),
  mergeRunning: { given: [QEMU, image, 'a', { names: ['b'] }], options: {}, writes: true },
  createFromRunning: { given: [QEMU, image, { kind: 'everything' }], options: CREATE, writes: true },
  dumpRunning: { given: [QEMU, image, 'a'], options: { chain: true } },
  listRunning: { given: [QEMU, image], options: { chain: true } },
  checkRunning: { given: [QEMU, [image]], options: { documents: [] } },
  repairRunning: { given: [QEMU, [image]], options: REPAIR, writes: true },
  openDomain: { given: [OTHER_HOST] },
  imageOfDomain: { given: [{ disks: [] }, 'vda'] },
  checkDomain: { given: [OTHER_HOST], options: FILES },
  repairDomain: {
    given: [OTHER_HOST],
    options: { ...FILES, ...REPAIR },
    writes: true,
  },
};

const WITH_OPTIONS = Object.entries(ROWS).filter(([, { options }]) => options !== undefined);

const FUNCTIONS = new Map<string, unknown>(
  Object.entries(library).filter(
    ([, value]) => typeof value === 'function' && !(value.prototype instanceof Error),
  ),
);

/** Calls a function with any arguments, as JavaScript can. */
async function call(name: string, ...given: unknown[]): Promise<unknown> {
  const work = FUNCTIONS.get(name) as (...given: unknown[]) => unknown;
  const result = await work(...given);
  if (name !== 'mapAllocation') return result;
  return (result as AsyncGenerator).next();
}

async function errorOf(name: string, ...given: unknown[]): Promise<unknown> {
  return call(name, ...given).then(
    () => undefined,
    (error) => error,
  );
}

test('every function has a row', () => {
  expect(Object.keys(ROWS).sort()).toEqual([...FUNCTIONS.keys()].sort());
});

describe.each(Object.entries(ROWS))('%s', (name, { given, mayLack }) => {
  test.each(given.map((_, index) => index))('refuses a wrong argument %i', async (index) => {
    for (const wrong of [undefined, null, 7, Number.NaN, true, [], [7], '\0', {}, { kind: 'x' }, () => {}]) {
      if (wrong === undefined && index === mayLack) continue;
      const isText = typeof given[index] === 'string' && typeof wrong === 'string';
      // Any text may be the name of a bitmap.
      if (isText && given[index] !== image) continue;
      const error = await errorOf(name, ...given.with(index, wrong));
      expect(error, String(wrong)).toBeInstanceOf(library.UsageError);
      expect((error as Error).message).toMatch(/^[a-zA-Z.[\]0-9]+ (is|has) .*, (must be|allowed are) /);
    }
  });
});

describe.each(WITH_OPTIONS)('%s', (name, { given, options, writes = false }) => {
  test('takes all its options', async () => {
    const { signal } = new AbortController();
    const common = { signal, onProgress() {}, onWarning() {}, forceShare: false, noLock: true };
    const all = { ...common, ...options, ...(writes && { dryRun: true, ignoreDeviceEnd: true }) };
    for (const each of [all, {}, undefined, { misspelt: undefined }]) {
      const error = await errorOf(name, ...given, each);
      expect(error, JSON.stringify(each)).toBeInstanceOf(Error);
      expect((error as Error).message).toMatch(/no such file|was asked|elsewhere/);
    }
  });

  test('refuses wrong options', async () => {
    const wrong = [
      null,
      'text',
      7,
      [],
      { misspelt: true },
      { forceShare: 'no' },
      { noLock: 1 },
      { signal: {} },
      { onProgress: true },
      { onWarning: null },
      ...(writes ? [{ dryRun: 'yes' }] : [{ dryRun: true }]),
      ...Object.keys(options!).flatMap((key) => [{ [key]: null }, { [key]: Symbol('s') }, { [key]: {} }]),
    ];
    for (const each of wrong) {
      const error = await errorOf(name, ...given, each);
      expect(error, JSON.stringify(each)).toBeInstanceOf(library.UsageError);
      expect((error as Error).message).toMatch(/^options[.a-zA-Z]* (is|has) /);
    }
  });

  test('does nothing for a signal that is already aborted', async () => {
    expect(await errorOf(name, ...given, { signal: AbortSignal.abort() })).toMatchObject({
      name: 'AbortError',
    });
    const reason = new Error('no longer wanted');
    expect(await errorOf(name, ...given, { signal: AbortSignal.abort(reason) })).toBe(reason);
  });
});

describe('nothing is written for', () => {
  const checkpoint = 'checkpoint-2026-11-01';
  const extents = { kind: 'extents', extents: [] };
  test.each<[string, string, unknown[], string]>([
    ...[null, 'x', 'overwrite', '', 0].map((ifExists): [string, string, unknown[], string] => [
      `the choice ${JSON.stringify(ifExists)}`,
      'createFrom',
      [extents, { names: [checkpoint], ifExists }],
      `options.ifExists is ${JSON.stringify(ifExists)}, must be "fail", "merge" or "replace"`,
    ]),
    [
      'names in one text',
      'removeBitmaps',
      [checkpoint],
      `names is "${checkpoint}", must be an array with at least one element`,
    ],
    [
      'no names',
      'addBitmaps',
      [[], {}],
      'names is an empty array, must be an array with at least one element',
    ],
    ['no names to remove', 'removeBitmaps', [[]], 'names is an empty array'],
    ['no name for a source', 'createFrom', [{ kind: 'bitmap', names: [] }], 'source.names is an empty array'],
    ['a name that is no text', 'addBitmaps', [['a', 7]], 'names[1] is 7, must be text'],
    ['merged names in one text', 'mergeBitmaps', [checkpoint, { names: 'a' }], 'sources.names is "a"'],
    ['half of a character', 'addBitmaps', [['\ud800']], 'is not well-formed Unicode'],
    ['an empty name', 'addBitmaps', [['']], 'bitmap name of 0 bytes'],
    [
      'an unknown source',
      'createFrom',
      [{ kind: 'typo' }],
      'source.kind is "typo", must be "allocated", "data", "bitmap", "compare", "extents" or "everything"',
    ],
    [
      'a misspelt option',
      'createFrom',
      [extents, { name: 'x', dryrun: true }],
      'options has a field "name", allowed are signal, onProgress, onWarning, forceShare, noLock, dryRun,',
    ],
    [
      'a misspelt part of a source',
      'createFrom',
      [{ kind: 'allocated', base: 'x' }],
      'source has a field "base", allowed are kind, above',
    ],
    [
      'an unknown choice',
      'removeChosen',
      [{ kind: 'x' }],
      'choice.kind is "x", must be "named", "all" or "unknown"',
    ],
    ['an unknown action', 'applyBitmapActions', ['c', [{ kind: 'explode' }]], 'actions[0].kind is "explode"'],
    ['extents as text', 'createFrom', [{ kind: 'extents', extents: 'ab' }], 'source.extents is "ab"'],
    ...[Number.NaN, -1, 0, 1000, Number.POSITIVE_INFINITY].map(
      (granularity): [string, string, unknown[], string] => [
        `a granularity of ${granularity}`,
        'addBitmaps',
        [['a'], { granularity }],
        `granularity is ${granularity} bytes, must be a power of two from 512 to 2G`,
      ],
    ),
  ])('%s', async (_, name, given, message) => {
    const overlay = await writableCopy(demo);
    const before = await readFile(overlay);
    const error = await errorOf(name, overlay, ...given);
    expect(error).toBeInstanceOf(library.UsageError);
    expect((error as Error).message).toContain(message);
    expect(Buffer.compare(await readFile(overlay), before)).toBe(0);
  });
});

test.each([0, -1, 1.5, Number.NaN, '5'])('%j is not a number of parts', async (count) => {
  const overlay = await writableCopy(demo);
  const dump = await library.dumpBitmap(overlay, library.ALLOCATED);
  expect(() => dump.dirtyShares(count as number)).toThrow(library.UsageError);
  expect(await errorOf('listBitmaps', overlay, { dirtyShareParts: count, chain: true })).toBeInstanceOf(
    library.UsageError,
  );
});

test('a part that no image has is refused, and not left out', async () => {
  const error = await errorOf('inspectImage', await writableCopy(demo), { parts: ['zz'] });
  expect((error as Error).message).toBe(
    'options.parts[0] is "zz", must be "header", "extensions", "directory" or "refcounts"',
  );
});
