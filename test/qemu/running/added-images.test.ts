/**
 * Images that were added to QEMU after its start. Their options are those of the command line that the manager of the
 * guest would use now, if that agrees with the command line of the start.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openQemu, repairRunning } from '../../../src/index.ts';
import { qemuBitmaps, qemuImg, qemuIo } from '../../support/qemu.ts';
import { leftIn, qcow2Nodes, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const START = { discard: 'unmap', 'detect-zeroes': 'on' };

type Nodes = Record<string, unknown>[];

const lineOf = (nodes: Nodes) => nodes.flatMap((node) => ['-blockdev', JSON.stringify(node)]);

/** QEMU has `system` from its start. `middle`, which lacks the bitmap c1 of its base, and `top` were added. */
async function repair(
  currentLine: (paths: Record<'system' | 'base' | 'middle' | 'top', string>) => string[],
) {
  const folder = await scratchFolder();
  const path = (name: string) => join(folder, `${name}.qcow2`);
  const paths = { system: path('system'), base: path('base'), middle: path('middle'), top: path('top') };
  await qemuImg('create', '-q', '-f', 'qcow2', paths.system, '16M');
  await qemuImg('create', '-q', '-f', 'qcow2', paths.base, '16M');
  await qemuImg('bitmap', '--add', paths.base, 'c1');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', paths.base, '-F', 'qcow2', paths.middle);
  await qemuIo(paths.middle, 'write -q -P 2 1M 1M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', paths.middle, '-F', 'qcow2', paths.top);
  const running = await startQemu(qcow2Nodes('system', paths.system, START));
  const added = [
    ...qcow2Nodes('base', paths.base, { 'read-only': true, backing: null }),
    ...qcow2Nodes('middle', paths.middle, { ...START, 'read-only': true, backing: 'base' }),
    ...qcow2Nodes('top', paths.top, { backing: 'middle' }),
  ];
  for (const node of added) await running.qmp.execute('blockdev-add', node);
  const qemu = await openQemu({ qmp: running.socket });
  const qmp = { ...qemu.qmp, currentCommandLine: async () => currentLine(paths) };
  const outcome = await repairRunning({ ...qemu, qmp }, [paths.top])
    .then(
      () => 'repaired',
      (error: Error) => error.message,
    )
    .finally(() => qemu.close());
  expect(await leftIn(running)).toEqual([]);
  await running.stop();
  return { outcome, bitmaps: (await qemuBitmaps(paths.middle)).map(({ name }) => name) };
}

const REFUSED = {
  outcome: expect.stringContaining('is not known for certain; nothing was changed'),
  bitmaps: [],
};

it('an added image is repaired if the options of the older image are still the same', async () => {
  const repaired = await repair(({ system, middle }) =>
    lineOf([
      // The place in the chain decides about detect-zeroes, and names of nodes do not matter.
      ...qcow2Nodes('n1', system, { discard: 'unmap' }),
      ...qcow2Nodes('n2', middle, { discard: 'unmap', 'read-only': true }),
    ]),
  );
  expect(repaired).toEqual({ outcome: 'repaired', bitmaps: ['c1'] });
});

it('an added image is refused if the older image would have other options now', async () => {
  const refused = await repair(({ system, middle }) =>
    lineOf([...qcow2Nodes('n1', system), ...qcow2Nodes('n2', middle, { 'read-only': true })]),
  );
  expect(refused).toEqual(REFUSED);
});

it('an added image is refused if two disks would open it', async () => {
  const refused = await repair(({ system, middle }) =>
    lineOf([
      ...qcow2Nodes('n1', system, { discard: 'unmap' }),
      ...qcow2Nodes('n2', middle, { discard: 'unmap', 'read-only': true }),
      ...qcow2Nodes('n3', middle, { 'read-only': true }),
    ]),
  );
  expect(refused).toEqual(REFUSED);
});

it('an added image is refused if no older image is on the command line', async () => {
  const refused = await repair(({ middle }) =>
    lineOf(qcow2Nodes('n2', middle, { discard: 'unmap', 'read-only': true })),
  );
  expect(refused).toEqual(REFUSED);
});
