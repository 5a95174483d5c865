/**
 * SIGHUP, SIGINT, SIGTERM and SIGKILL at any moment leave an image in its old or its new state.
 */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { digest } from '../../support/file-state.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const ROUNDS = 12;

test.each([
  { signal: 'SIGHUP', exitCode: 129 },
  { signal: 'SIGINT', exitCode: 130 },
  { signal: 'SIGTERM', exitCode: 143 },
  { signal: 'SIGKILL', exitCode: undefined },
] as const)('a change survives $signal at any moment', async ({ signal, exitCode }) => {
  const folder = await scratchFolder();
  const original = join(folder, 'original.qcow2');
  const image = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', original, '64M');
  await qemuIo(original, ...Array.from({ length: 64 }, (_, index) => `write -P ${index + 1} ${index}M 100k`));
  await qemuImg('bitmap', '--add', original, 'old');

  const args = [program, 'create-from', '--allocated', '--name', 'new', '-g', '512', image];
  await copyFile(original, image);
  const started = performance.now();
  await execa(process.execPath, args);
  const wholeMs = performance.now() - started;

  const outcomes = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) {
    await copyFile(original, image);
    const child = execa(process.execPath, args, { reject: false });
    await sleep((wholeMs * (round + 0.5)) / ROUNDS);
    child.kill(signal);
    const result = await child;

    const names = (await qemuBitmaps(image)).map(({ name }) => name);
    expect([['old'], ['old', 'new']]).toContainEqual(names);
    const { errors, corruptions, leaks } = await qemuCheck(image);
    expect({ errors, corruptions }).toEqual({ errors: 0, corruptions: 0 });
    expect((await compareImages(original, image)).identical).toBe(true);
    if (signal !== 'SIGKILL') {
      expect(leaks).toBe(0);
      // Before Node has started, and after the tool has ended, the signal is not the tool's to answer.
      if (result.signal === undefined) expect([0, exitCode]).toContain(result.exitCode);
      if (result.stderr.includes('nothing was written'))
        expect(await digest(image)).toBe(await digest(original));
    }
    outcomes.add(names.join());
  }
  expect(outcomes.size).toBeGreaterThan(0);
});

test('a signal before the first write stops the command with its exit code and a message that nothing was written', async () => {
  const folder = await scratchFolder();
  const image = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=64k,preallocation=metadata', image, '64G');
  const before = await qemuBitmaps(image);
  const { exitCode, stderr } = await interruptedAtLock(image);
  expect(stderr).toContain('interrupted by SIGINT; nothing was written');
  expect(exitCode).toBe(130);
  expect(await qemuBitmaps(image)).toEqual(before);
});

/** Runs create-from under strace, which sends SIGINT when the process takes its first lock of the image. */
async function interruptedAtLock(image: string) {
  // One thread takes all locks. A second signal would end the process at once.
  const inject = ['-e', 'trace=fcntl', '-e', 'inject=fcntl:signal=SIGINT:when=1'];
  const args = [process.execPath, program, 'create-from', '--allocated', image];
  return await execa('strace', ['-f', '-qq', '-o', '/dev/null', '-P', image, ...inject, ...args], {
    reject: false,
    stdin: 'ignore',
  });
}
