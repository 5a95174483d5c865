import { describe, expect, it } from 'vitest';
import { hasEnded, newRunName, runOf } from '../../../src/qemu/own-names.ts';

describe('the name of a run', () => {
  it('is found in the names of everything that the run creates, and nowhere else', async () => {
    const run = await newRunName();
    for (const name of [run, `${run}-0`, `${run}-1z`, `${run}.sock`, `${run}-Ab3dEf`])
      expect(runOf(name)).toBe(run);
    for (const name of ['c1', 'bitmap-tool', 'bitmap-tool-1', `x${run}`, `${run}x`, 'libvirt-1-format']) {
      expect(runOf(name)).toBeUndefined();
    }
  });

  it('leaves space for a number in the 31 characters that QEMU allows for a node', async () => {
    expect((await newRunName()).length).toBeLessThanOrEqual(28);
    expect(runOf('bitmap-tool-zzzzz-zzzzzzz-z-zz')).toBe('bitmap-tool-zzzzz-zzzzzzz-z');
  });

  it('shows whether its process still runs, and is not confused by another process with that number', async () => {
    const run = await newRunName();
    expect(await hasEnded(run)).toBe(false);
    const [, , pid, start] = run.split('-');
    expect(await hasEnded(`bitmap-tool-${pid}-${(Number.parseInt(start!, 36) + 1).toString(36)}-0`)).toBe(
      true,
    );
    expect(await hasEnded('bitmap-tool-zzzzz-1-0')).toBe(true);
  });
});
