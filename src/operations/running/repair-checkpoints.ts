/**
 * Makes the checkpoints of disks valid again while a running QEMU has the disks open. Reads all disks first,
 * then changes all bitmaps in one transaction.
 */
import { allLayers } from '../../chain/chain.ts';
import type { ChainImage } from '../../checkpoint/chain/chain-images.ts';
import { readRecords } from '../../checkpoint/known/known-checkpoints.ts';
import type { DiskRepair } from '../../checkpoint/repair/chain-repair.ts';
import { UsageError } from '../../errors.ts';
import type { ImageNode } from '../../qemu/block-nodes.ts';
import { changeNodes, type NodeChange } from '../../qemu/change-node.ts';
import { recordWrites } from '../../qemu/temporary-bitmaps.ts';
import { planRepairs, reportRepair } from '../checkpoints/repair-checkpoints.ts';
import type { RepairOptions, RepairResult } from '../checkpoints/repair-result.ts';
import type { RunningQemu } from './open-qemu.ts';
import { refuseTransient } from './read-source.ts';
import { examineRunning } from './running-chain.ts';
import { type RunningImage, withRunningImages } from './running-image.ts';

/**
 * @param imageNames the active image of each disk
 * @throws RefusedError when a checkpoint cannot be repaired, or consent is missing; nothing was changed then
 * @throws InUseError while QEMU is busy
 */
export async function repairRunning(
  qemu: RunningQemu,
  imageNames: readonly string[],
  options: RepairOptions = {},
): Promise<RepairResult> {
  refuseComparison(qemu, options);
  const records = await readRecords(options, imageNames.length, options);
  return withRunningImages(qemu, imageNames, options, async (images, session) => {
    const recorders = new Map<ImageNode, string>();
    if (!options.dryRun) for (const running of images) await recordAll(running, recorders);
    const chainImages: ChainImage[][] = [];
    for (const running of images) chainImages.push(await examineAll(running, options));
    const chains = images.map(({ chain }) => chain);
    const { disks, everywhere } = await planRepairs(chains, chainImages, records, options);
    const changes = disks.flatMap((disk, index) => changesOf(images[index]!, disk, recorders));
    if (!options.dryRun) await changeNodes(session, changes, options);
    return {
      schema: 1,
      dryRun: options.dryRun === true,
      disks: disks.map((disk) => reportRepair(disk, everywhere, options)),
    };
  });
}

/**
 * A disk that a guest writes to cannot be compared with a backup or a branch, which is from another moment.
 */
function refuseComparison({ name }: RunningQemu, { against, branches }: RepairOptions): void {
  if (against === undefined && branches === undefined) return;
  throw new UsageError(
    `${name}: a disk that a running QEMU has open cannot be compared with a backup or a branch`,
    {
      remedy: { kind: 'shut-down-to-compare' },
    },
  );
}

async function examineAll(running: RunningImage, options: RepairOptions): Promise<ChainImage[]> {
  const examine = examineRunning(running, options);
  const images: ChainImage[] = [];
  for (const [index, layer] of (await allLayers(running.chain)).entries()) {
    images.push(await examine(layer, index));
  }
  return images;
}

/** Records writes during the read, at the finest granularity of the chain's bitmaps, at most 64 KiB. */
async function recordAll({ session, nodes }: RunningImage, recorders: Map<ImageNode, string>): Promise<void> {
  const granularity = Math.min(
    65536,
    ...nodes.flatMap(({ bitmaps }) => bitmaps.map((bitmap) => bitmap.granularity)),
  );
  for (const node of nodes) {
    if (!node.options.readOnly) recorders.set(node, await recordWrites(session, node, granularity));
  }
}

function changesOf(
  running: RunningImage,
  { images }: DiskRepair,
  recorders: ReadonlyMap<ImageNode, string>,
): NodeChange[] {
  return images.flatMap(({ stores, bitmaps }, index) =>
    [...stores.values()].map(({ name, bitmap }): NodeChange => {
      const node = running.nodes[index]!;
      refuseTransient({ ...running, nodes: [node] }, name);
      const { action } = bitmaps.find((each) => each.name === name)!;
      const recorder = recorders.get(node);
      return {
        node,
        name,
        granularity: 2 ** bitmap.granularityBits,
        recording: true,
        start: action === 'top-up' || action === 'enable' ? 'kept' : 'new',
        marks: bitmap,
        sources: recorder === undefined ? [] : [recorder],
      };
    }),
  );
}
