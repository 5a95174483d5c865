/**
 * Data and holes of sparse files, with `qemu-img map` as the judge.
 */
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Span } from '../../../src/bytes/range.ts';
import { dataRanges } from '../../../src/storage/holes.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

let folder: string;
let path: string;
let file: FileHandle;

beforeAll(async () => {
  const { failed } = await execa('qemu-img', ['--version'], { reject: false });
  if (failed) throw new Error('these tests need qemu-img: apt-get install qemu-utils');
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bitmap-tool-holes-'));
  path = join(folder, 'disk.raw');
  file = await open(path, 'w+');
});

afterEach(async () => {
  await file.close();
  await rm(folder, { recursive: true, force: true });
});

test('reports the holes that qemu-img map reports, even above 4 GiB and at the end of the file', async () => {
  await sparse(8 * GIB, [
    [0, MIB],
    [3 * MIB, 64 * 1024],
    [5 * GIB + MIB, 2 * MIB],
    [8 * GIB - MIB, MIB],
  ]);
  const expected = await dataByQemu();
  expect(expected).toHaveLength(4);
  expect(await ranges(0, 8 * GIB)).toEqual(expected);
});

test('reports preallocated clusters without writes as holes, as qemu-img map does', async () => {
  await execa('fallocate', ['--length', '4M', path]);
  await file.write(Buffer.alloc(64 * 1024, 1), 0, 64 * 1024, MIB);
  expect(await ranges(0, 4 * MIB)).toEqual(await dataByQemu());
});

test('is limited to the requested range', async () => {
  await sparse(8 * MIB, [[MIB, 2 * MIB]]);
  expect(await ranges(MIB + 5, 2 * MIB + 7)).toEqual([{ start: MIB + 5, end: 2 * MIB + 7 }]);
  expect(await ranges(2 * MIB, 8 * MIB)).toEqual([{ start: 2 * MIB, end: 3 * MIB }]);
  expect(await ranges(0, MIB)).toEqual([]);
  expect(await ranges(3 * MIB, 8 * MIB)).toEqual([]);
  expect(await ranges(2 * MIB, 2 * MIB)).toEqual([]);
});

test('reports no data for an empty file, a hole, and a range past the end', async () => {
  expect(await ranges(0, GIB)).toEqual([]);
  await file.truncate(GIB);
  expect(await ranges(0, GIB)).toEqual([]);
  await file.write(Buffer.alloc(MIB, 1), 0, MIB, GIB - MIB);
  expect(await ranges(0, 2 * GIB)).toEqual([{ start: GIB - MIB, end: GIB }]);
  expect(await ranges(GIB, 2 * GIB)).toEqual([]);
});

test('can be iterated twice', async () => {
  await sparse(4 * MIB, [[MIB, MIB]]);
  const found = await dataRanges(file.fd, 0, 4 * MIB);
  expect([...(found ?? [])]).toEqual([...(found ?? [])]);
});

test('is undefined if the file system does not report holes', async () => {
  const special = await open('/proc/version', 'r');
  try {
    expect(await dataRanges(special.fd, 0, MIB)).toBeUndefined();
  } finally {
    await special.close();
  }
});

async function sparse(sizeBytes: number, data: ReadonlyArray<readonly [offset: number, length: number]>) {
  await file.truncate(sizeBytes);
  for (const [offset, length] of data) await file.write(Buffer.alloc(length, 1), 0, length, offset);
}

async function ranges(startBytes: number, endBytes: number): Promise<Span[]> {
  const found = await dataRanges(file.fd, startBytes, endBytes);
  if (found === undefined) throw new Error(`${tmpdir()} is on a file system without SEEK_HOLE`);
  return [...found];
}

async function dataByQemu(): Promise<Span[]> {
  const { stdout } = await execa('qemu-img', ['map', '-f', 'raw', '--output=json', path]);
  const extents: Array<{ start: number; length: number; data: boolean }> = JSON.parse(stdout);
  return extents.filter(({ data }) => data).map(({ start, length }) => ({ start, end: start + length }));
}
