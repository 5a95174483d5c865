/** With --json every command prints a document that matches schemas/output.json exactly. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AnySchemaObject } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { crashOn } from '../../support/crash.ts';
import { OF_RUNNING_GUESTS, outputSchemas, schemaFaults } from '../../support/output-schema.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { AUTOCLEAR_LOWEST_BYTE, setByte } from '../../support/set-byte.ts';

interface Files {
  overlay: string;
  /** The overlay's backing image, with bitmaps of every state. */
  base: string;
  /** An image whose bitmaps are outdated. */
  stale: string;
  /** An image of the same size without bitmaps. */
  flat: string;
  /** A list of no extents. */
  empty: string;
  /** Below that. */
  raw: string;
  folder: string;
}

/** overlay.qcow2 ← base.qcow2 ← bottom.raw */
async function makeChain(): Promise<Files> {
  const folder = await scratchFolder();
  const path = (name: string) => join(folder, name);
  const [overlay, base, raw] = [path('overlay.qcow2'), path('base.qcow2'), path('bottom.raw')];
  await qemuImg('create', '-q', '-f', 'raw', raw, '4M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', base);
  await qemuIo(base, 'write -q 0 64k', 'write -q -c 128k 64k', 'write -q -z 1M 64k');
  await qemuImg('bitmap', '--add', base, 'broken');
  await crashOn(base);
  for (const name of ['c1', 'c2']) await qemuImg('bitmap', '--add', base, name);
  await qemuImg('bitmap', '--add', '--disable', base, 'off');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
  await qemuIo(overlay, 'write -q 2M 128k');
  await qemuImg('bitmap', '--add', overlay, 'c2');
  const empty = join(folder, 'empty.json');
  await writeFile(empty, '[]');
  const stale = path('stale.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', stale, '1M');
  await qemuImg('bitmap', '--add', stale, 'c1');
  await setByte(stale, AUTOCLEAR_LOWEST_BYTE, 0);
  const flat = path('flat.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', flat, '4M');
  return { overlay, base, raw, stale, flat, empty, folder };
}

interface Sample {
  command: string;
  /** Of schemas/output.json, if it is not the command itself. */
  schema?: string;
  args: (files: Files) => string[];
  exitCode?: number;
}

/** Gives an overlay of the chain the checkpoint bitmaps c1 and c2. */
const INHERIT: Sample = {
  command: 'create-from',
  args: ({ overlay }) => ['--allocated', overlay],
  exitCode: 3,
};

const ADD: Sample = { command: 'add', schema: 'edit', args: ({ overlay }) => [overlay, 'n1', 'n2'] };

/** A command as a dry run, then as a run. */
const dryAndReal = (command: string, args: Sample['args'], schema = command): Sample[] =>
  [' --dry-run', ''].map((dry) => ({ command: `${command}${dry}`, schema: `${schema}${dry}`, args }));

/** Each group runs in this order on a chain of its own. Together they show every key that exists. */
const SAMPLES: Record<string, Sample[]> = {
  'list, map, dump, inspect and measure': [
    { command: 'list', args: ({ overlay }) => [overlay] },
    { command: 'list', args: ({ base }) => [base] },
    { command: 'list', args: ({ raw }) => [raw] },
    { command: 'list --chain', args: ({ overlay }) => [overlay] },
    { command: 'list --chain', args: ({ raw }) => [raw] },
    { command: 'map', args: ({ overlay }) => [overlay] },
    { command: 'map', args: ({ overlay }) => ['--layer', overlay] },
    { command: 'map', args: ({ raw }) => [raw] },
    { command: 'dump', args: ({ overlay }) => [overlay, '#ALLOCATED'] },
    { command: 'dump', args: ({ overlay }) => [overlay, 'c2'] },
    { command: 'inspect', args: ({ base }) => [base] },
    { command: 'inspect', schema: 'inspect PART', args: ({ overlay }) => [overlay, 'extensions'] },
    { command: 'measure', args: ({ overlay }) => ['--allocated', overlay] },
    INHERIT,
    { command: 'measure', args: ({ overlay }) => ['--allocated', overlay] },
  ],
  'create-from': [
    { ...INHERIT, command: 'create-from --dry-run' },
    INHERIT,
    INHERIT,
    { ...INHERIT, command: 'create-from --dry-run' },
    ...['--data', '--everything', '--bitmap=c2', '--compare=BASE', '--extents=EMPTY'].map((source) => ({
      command: 'create-from',
      args: ({ overlay, base, empty }: Files) => [
        source.replace('BASE', base).replace('EMPTY', empty),
        '-n',
        source,
        overlay,
      ],
    })),
    ...dryAndReal('create-from', ({ base, folder }) => [
      ...['--bitmap', 'c1', '--chain', '--into', `${folder}/new.qcow2`],
      base,
    ]),
    ...['merge', 'merge', 'replace'].map((what) => ({
      command: 'create-from',
      args: ({ overlay }: Files) => ['--everything', '-n', 'c2', '--if-exists', what, '--disabled', overlay],
    })),
  ],
  'changes of bitmaps': [
    INHERIT,
    ...[' --dry-run', ''].flatMap((dry): Sample[] => {
      const edit = (verb: string, ...names: string[]): Sample => ({
        command: `${verb}${dry}`,
        schema: `edit${dry}`,
        args: ({ overlay }) => [overlay, ...names],
      });
      return [
        edit('add', 'n1', 'n2'),
        edit('disable', 'c1', 'c2'),
        edit('enable', 'c1'),
        edit('enable', 'c1'),
        edit('clear', 'c1'),
        edit('merge', 'c1', 'c2', '#ALLOCATED'),
        edit('remove', 'c1', 'c2'),
      ];
    }),
  ],
  'checkpoint-create and remove --chain': [
    ...[' --dry-run', '', '', ' --dry-run'].map((dry) => ({
      command: `checkpoint-create${dry}`,
      args: ({ overlay }: Files) => ['n3', '--disk', 'vda', overlay],
    })),
    ...dryAndReal('checkpoint-create', ({ overlay, folder }) => [
      ...['n4', '--disk', 'vda', '--parent', 'n3', '--output', join(folder, 'n4.xml')],
      overlay,
    ]),
    ...dryAndReal('remove --chain', ({ overlay }) => [overlay, 'n3', 'n4']),
  ],
  verify: [
    ADD,
    { command: 'verify', args: ({ overlay, base }) => [overlay, '#ALLOCATED', '--against', base] },
    { command: 'verify', args: ({ overlay, base }) => [overlay, 'n1', '--against', base], exitCode: 3 },
    { command: 'verify', args: ({ overlay, base }) => [overlay, '#ALLOCATED', '--chain', '--against', base] },
  ],
  'check and repair': [
    { command: 'check', args: ({ overlay }) => [overlay], exitCode: 3 },
    { command: 'check', args: ({ raw }) => [raw] },
    { command: 'repair --dry-run', args: ({ overlay }) => [overlay], exitCode: 3 },
    { command: 'repair', args: ({ overlay }) => [overlay], exitCode: 3 },
    {
      command: 'repair',
      args: ({ overlay }) => ['-n', 'broken', '-n', 'off', '--rebuild-origin', '--enable-disabled', overlay],
    },
    { command: 'check', args: ({ overlay }) => [overlay] },
  ],
  'repair --directory': [
    ...dryAndReal('repair --directory', ({ stale }) => [stale]),
    { command: 'repair --directory', args: ({ stale }) => [stale] },
    { command: 'check', args: ({ stale }) => [stale], exitCode: 3 },
  ],
  'checkpoint-xml and checkpoint-carry': [
    ADD,
    { command: 'checkpoint-xml', args: ({ overlay }) => ['-n', 'n1', '-n', 'n2', overlay] },
    {
      command: 'checkpoint-xml',
      args: ({ overlay, folder }) => ['-n', 'n1', '--disk', '/x', '--output', join(folder, 'xml'), overlay],
    },
    { command: 'checkpoint-xml', args: ({ folder }) => ['--checkpoints', join(folder, 'xml')] },
    ...[' --dry-run', ''].flatMap((dry): Sample[] => [
      { command: `checkpoint-carry${dry}`, args: ({ overlay, flat }) => ['-n', 'n1', overlay, flat] },
      { command: `checkpoint-carry${dry}`, args: ({ overlay, base }) => ['-n', 'n2', overlay, base] },
      { command: `checkpoint-carry${dry}`, args: ({ overlay, flat }) => ['-n', 'n1', overlay, flat] },
    ]),
  ],
};

describe('JSON results', () => {
  test.each(Object.entries(SAMPLES))('of %s match the schema exactly', async (_, samples) => {
    const files = await makeChain();
    const seen = new Map<string, unknown[]>();
    for (const { command, schema = command, args, exitCode = 0 } of samples) {
      const words = [...command.split(' '), '--json', ...args(files)];
      const result = await bitmapTool(...words);
      expect({ words, exitCode: result.exitCode, stderr: errorOf(result.stderr) }).toEqual({
        words,
        exitCode,
        stderr: undefined,
      });
      expect(schemaFaults(schema, result.json), `${words.join(' ')}\n${result.stdout}`).toEqual([]);
      seen.set(schema, [...(seen.get(schema) ?? []), result.json]);
    }
    for (const [schema, documents] of seen) expectJudged(schema, documents);
  });

  test('include a sample of every document in the schema', () => {
    const sampled = Object.values(SAMPLES)
      .flat()
      .map(({ command, schema = command }) => schema);
    const documents = Object.keys(outputSchemas['$defs']).filter((name) => !SHARED.includes(name));
    expect([...new Set([...sampled, 'warning', 'error'])].sort()).toEqual(documents.sort());
  });

  test('match the schema for a bitmap of 2 GiB granularity and for an empty disk', async () => {
    const { overlay, folder } = await makeChain();
    await bitmapTool('add', '-g', '2G', overlay, 'coarse');
    expect(schemaFaults('list', (await bitmapTool('list', '--json', overlay)).json)).toEqual([]);
    const empty = join(folder, 'empty.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', empty, '0');
    for (const [schema, ...args] of [['list'], ['map'], ['dump', '#ALLOCATED']]) {
      const { json, stdout } = await bitmapTool(schema!, '--json', empty, ...args);
      expect(schemaFaults(schema!, json), `${schema}: ${stdout}`).toEqual([]);
    }
  });
});

/** Parts of what inspect prints. */
const STORED = ['storedFields', 'storedValue', 'storedExtensions', 'storedDirectory', 'storedRefcounts'];

/** Definitions that others are made of. */
const SHARED = [
  'size',
  'granularity',
  'plan',
  'planWithSteps',
  'listedBitmap',
  ...STORED,
  'problem',
  ...OF_RUNNING_GUESTS,
];

function errorOf(stderr: string): string | undefined {
  return stderr.split('\n').find((line) => line !== '' && !line.startsWith('{"warning"'));
}

/** The definitions would notice: no object of the samples may have one key more, or lack one that all have. */
function expectJudged(schema: string, documents: readonly unknown[]): void {
  const judged = documents.flatMap((document) =>
    objectsIn(document).map((_, index) => {
      const copy = structuredClone(document);
      Object.assign(objectsIn(copy)[index]!, { drift: 1 });
      return { schema, index, isRefused: schemaFaults(schema, copy).length > 0 };
    }),
  );
  expect(judged.length, schema).toBeGreaterThan(0);
  expect(judged.filter(({ isRefused }) => !isRefused)).toEqual([]);
  for (const document of documents) {
    for (const key of Object.keys(document as object).filter(() => !Array.isArray(document))) {
      const { [key]: _, ...rest } = document as Record<string, unknown>;
      expect(schemaFaults(schema, rest), `${schema} without ${key}`).not.toEqual([]);
    }
  }
}

function objectsIn(value: unknown): object[] {
  if (typeof value !== 'object' || value === null) return [];
  const inner = Object.values(value).flatMap(objectsIn);
  return Array.isArray(value) ? inner : [value, ...inner];
}

describe('stderr with --json', () => {
  test('has only warnings, and an error as the last line, which match the schema', async () => {
    const { overlay, base, raw, folder } = await makeChain();
    const codes = new Set<string>();
    const small = join(folder, 'small.raw');
    await qemuImg('create', '-q', '-f', 'raw', small, '1M');
    const damaged = join(folder, 'version2.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', damaged, '1M');
    let warnings = 0;
    for (const args of [
      ['create-from', '--allocated', overlay],
      ['list', '-U', overlay],
      ['list', join(folder, 'missing')],
      ['list', folder],
      ['list', 'nbd://host/x'],
      ['create-from', overlay],
      ['no-such-command'],
      ['add', '-g', '300', overlay, 'x'],
      ['add', overlay, '#ALLOCATED'],
      ['add', overlay, 'c2'],
      ['add', raw, 'c1'],
      ['add', damaged, 'c1'],
      ['remove', overlay, 'missing'],
      ['clear', base, 'broken'],
      ['create-from', '--bitmap', 'c1', '--from', base, '-n', 'c2', overlay],
      ['verify', overlay, 'c2', '--against', small],
      ['create-from', '--compare', small, '-n', 'x', overlay],
      ['create-from', '--compare', overlay, '-n', 'x', base],
    ]) {
      const { exitCode, stderr } = await bitmapTool(...args, '--json');
      const lines = stderr.split('\n').filter((line) => line !== '');
      expect(lines.length, args.join(' ')).toBeGreaterThan(0);
      for (const [index, line] of lines.entries()) {
        const document = JSON.parse(line) as { error?: { code: string } };
        const isError = 'error' in document && exitCode !== 0 && index === lines.length - 1;
        const schema = isError ? 'error' : 'warning';
        expect(schemaFaults(schema, document), `${args.join(' ')}: ${line}`).toEqual([]);
        expectJudged(schema, [document]);
        if (isError) codes.add(document.error!.code);
        else warnings++;
      }
    }
    expect(warnings).toBeGreaterThan(2);
    expect([...codes].sort()).toEqual([
      'BITMAP_EXISTS',
      'BITMAP_INCONSISTENT',
      'BITMAP_LIMIT',
      'BITMAP_NOT_FOUND',
      'FILE_NOT_FOUND',
      'NOT_A_FILE',
      'SELF_COMPARISON',
      'SIZE_MISMATCH',
      'UNSUPPORTED',
      'USAGE',
    ]);
  });
});

test('every object of the schema forbids additional properties', () => {
  const open: string[] = [];
  let objects = 0;
  const walk = (schema: unknown, path: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    const { type, additionalProperties } = schema as AnySchemaObject;
    if (type === 'object') {
      objects++;
      if (additionalProperties !== false) open.push(path);
    }
    for (const [key, inner] of Object.entries(schema)) walk(inner, `${path}/${key}`);
  };
  walk(outputSchemas, '');
  expect(objects).toBeGreaterThan(15);
  expect(open).toEqual([]);
});
