/** Problems of the image itself: refcounts, outdated bitmaps, marks in the header. They are found and repaired, or refused. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { NO_COMMAND } from '../../../src/cli/command-at-hand.ts';
import { hintFor } from '../../../src/cli/remedy/hint.ts';
import { type ProblemCode, type RefusedError, repairDirectory } from '../../../src/index.ts';
import { tryProgram } from '../../support/external-program.ts';
import { compareImages, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import type { EditedImage } from '../../unit/image/edited-image.ts';
import { inspectFile } from '../../unit/inspection/inspect.ts';
import {
  bitmapsLeft,
  clean,
  codesOf,
  dataOf,
  expectMended,
  guestData,
  l2Table,
  refcountBlock,
  sample,
} from './sample.ts';

function setRefcount(image: EditedImage, offset: number, count: number): void {
  image.bytes.writeUInt16BE(count, refcountBlock(image) + (offset / 65536) * 2);
}

describe('refcounts', () => {
  test('that are too low for a bitmap must first be repaired by qemu-img check', async () => {
    const it = await sample();
    setRefcount(it.image, dataOf(it.image, 1), 0);
    await it.save();
    expect(await codesOf(it.path)).toEqual([['refcount-too-low', 'second']]);
    await expect(repairDirectory(it.path)).rejects.toMatchObject({
      code: 'NEEDS_CHECK',
      remedy: { kind: 'check-and-repair', file: it.path },
    });
    expect(Buffer.compare(await readFile(it.path), it.image.bytes)).toBe(0);
    await tryProgram('qemu-img', ['check', '-r', 'all', it.path]);
    expect(await repairDirectory(it.path)).toMatchObject({ plan: null, problems: [] });
  });

  test('that are too low for the disk are refused only if QEMU can open the image', async () => {
    const it = await sample();
    setRefcount(it.image, await guestData(it.path), 0);
    await it.save();
    expect(await codesOf(it.path)).toEqual([['refcount-too-low', undefined]]);
    await expect(repairDirectory(it.path)).rejects.toMatchObject({ code: 'NEEDS_CHECK' });

    it.image.setExtension({ count: 5 });
    await it.save();
    await repairDirectory(it.path);
    await tryProgram('qemu-img', ['check', '-r', 'all', it.path]);
    expect(await qemuCheck(it.path)).toMatchObject(clean);
    expect(await compareImages(it.path, it.copy)).toMatchObject({ identical: true });
    expect(await bitmapsLeft(it.path)).toEqual([
      ['first', false],
      ['second', false],
    ]);
  });

  test('of clusters without a reference become 0, whatever their value, even beyond the end of the file', async () => {
    const it = await sample();
    const room = it.image.bytes.length - 65536;
    setRefcount(it.image, room, 7);
    setRefcount(it.image, room + 65536, 1);
    setRefcount(it.image, room + 3 * 65536, 65535);
    await it.save();
    expect(await codesOf(it.path)).toEqual([['leaked-clusters', undefined]]);
    const result = await repairDirectory(it.path);
    expect(result).toMatchObject({
      leakedClusters: 3,
      leakedBytes: 3 * 65536,
      plan: { releasedClusters: 3 },
    });
    expect(await qemuCheck(it.path)).toMatchObject(clean);
    expect(await codesOf(it.path)).toEqual([]);
  });

  test('are not repaired if a refcount block belongs to the disk as well', async () => {
    const it = await sample();
    const l2 = l2Table(it.image);
    // The first free entry of the L2 table gets the refcount block.
    it.image.bytes.writeBigUInt64BE((1n << 63n) | BigInt(refcountBlock(it.image)), l2 + 5 * 8);
    await it.save();
    expect(await codesOf(it.path)).toEqual([['metadata-overlap', undefined]]);
    await expect(repairDirectory(it.path)).rejects.toMatchObject({ code: 'NEEDS_CHECK' });
    expect(Buffer.compare(await readFile(it.path), it.image.bytes)).toBe(0);
  });
});

describe('bitmaps that became outdated because of other software', () => {
  test('keep only their names', async () => {
    const it = await sample();
    it.image.setAutoclear(0);
    await it.save();
    expect(await codesOf(it.path)).toEqual([
      ['stale', undefined],
      ['leaked-clusters', undefined],
    ]);
    await expectMended(it, [
      ['first', true],
      ['second', true],
    ]);
  });

  test('lose their names if the guest has overwritten their directory', async () => {
    const it = await sample();
    it.image.setAutoclear(0);
    it.image.bytes.fill(0xa5, it.image.directoryOffset, it.image.directoryOffset + 65536);
    await it.save();
    await expectMended(it, []);
  });

  test('are removed from an image of version 2 together with their clusters', async () => {
    const it = await sample();
    await qemuImg('amend', '-o', 'compat=0.10', it.path);
    expect((await inspectFile(it.path)).problems.map(({ code }) => code)).toEqual([
      'version-2',
      'stale',
      'leaked-clusters',
    ]);
    const result = await repairDirectory(it.path);
    expect(result.bitmaps.map(({ fate }) => fate)).toEqual(['dropped', 'dropped']);
    expect(await qemuCheck(it.path)).toMatchObject(clean);
    expect(await compareImages(it.path, it.copy)).toMatchObject({ identical: true });
    expect((await inspectFile(it.path)).problems.map(({ code }) => code)).toEqual(['version-2']);
    await qemuImg('amend', '-o', 'compat=1.1', it.path);
    expect(await qemuCheck(it.path)).toMatchObject(clean);
  });

  test('are leaks after QEMU has dropped the extension', async () => {
    const it = await sample();
    it.image.setAutoclear(0);
    await it.save();
    await qemuIo(it.path, 'read 0 512');
    const { leaks } = await qemuCheck(it.path);
    expect(leaks).toBeGreaterThan(0);
    expect(await repairDirectory(it.path)).toMatchObject({
      leakedClusters: leaks,
      plan: { claimedClusters: 0 },
    });
    expect(await qemuCheck(it.path)).toMatchObject(clean);
  });
});

describe('an image that is marked', () => {
  test.each<[ProblemCode, number]>([
    ['marked-dirty', 1],
    ['marked-corrupt', 2],
  ])('%s is refused', async (code, bits) => {
    const it = await sample();
    it.image.bytes[79] = bits;
    it.image.setAutoclear(0);
    await it.save();
    expect(await codesOf(it.path)).toContainEqual([code, undefined]);
    await expect(repairDirectory(it.path)).rejects.toMatchObject({ code: 'NEEDS_CHECK' });
    expect(Buffer.compare(await readFile(it.path), it.image.bytes)).toBe(0);
  });

  test('corrupt and that QEMU refuses can be opened after the advised steps', async () => {
    const it = await sample();
    it.image.bytes[79] = 2;
    it.image.setExtension({ count: 0 });
    await it.save();
    const { remedy } = await repairDirectory(it.path).then(
      () => expect.fail('it is not refused'),
      (error: RefusedError) => error,
    );
    const commands = [...hintFor(remedy!, NO_COMMAND).matchAll(/"([^"]+)"/g)].map((match) => match[1]!);
    expect(commands).toHaveLength(2);
    for (const command of commands) await promisify(execFile)('sh', ['-c', command]).catch(() => {});
    expect(await qemuCheck(it.path)).toMatchObject(clean);
    expect(await compareImages(it.path, it.copy)).toMatchObject({ identical: true });
  });
});

test('unknown autoclear bits are reported, and the first change clears them', async () => {
  const it = await sample();
  it.image.setAutoclear(0x41);
  setRefcount(it.image, it.image.bytes.length - 65536, 1);
  await it.save();
  expect(await codesOf(it.path)).toEqual([
    ['unknown-autoclear', undefined],
    ['leaked-clusters', undefined],
  ]);
  await expectMended(it, [
    ['first', false],
    ['second', false],
  ]);
});
