/** Loop devices: block devices that do not grow, without a volume manager. */
import { execa } from 'execa';
import { onTestFinished } from 'vitest';

/** A loop device over `path` for the length of the test. */
export async function loopDevice(path: string, ...options: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await execa('losetup', ['--find', '--show', ...options, path], {
    reject: false,
  });
  if (exitCode !== 0) throw new Error(`losetup: ${stderr}; this test needs root and free loop devices`);
  onTestFinished(async () => {
    await execa('losetup', ['--detach', stdout]);
  });
  return stdout;
}

/** Lets the device see that its file has become longer. */
export async function growLoopDevice(device: string): Promise<void> {
  await execa('losetup', ['--set-capacity', device]);
}
