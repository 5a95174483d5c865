/**
 * Plans the repair of all disks of a guest: assigns origins, backups and branches to the disks.
 */
import type { Chain } from '../../chain/chain.ts';
import type { Layer } from '../../chain/layer.ts';
import { parseReference } from '../../chain/reference.ts';
import type { ChainImage } from '../../checkpoint/chain/chain-images.ts';
import type { KnownCheckpoint } from '../../checkpoint/known/choose-checkpoints.ts';
import { type DiskRepair, planRepair } from '../../checkpoint/repair/chain-repair.ts';
import { UsageError } from '../../errors.ts';
import { fileIdentity } from '../../storage/file.ts';
import { changesSinceBackup } from './changes-since-backup.ts';
import { changesOnBranch, type LeftBranch, openBranch } from './left-branch.ts';
import type { RepairOptions } from './repair-result.ts';

/**
 * Plans the repair of each disk, with the backup or branch that the user has named.
 *
 * @param chainImages the images of each chain, top first
 */
export async function planDiskRepairs(
  chains: readonly Chain[],
  chainImages: readonly (readonly ChainImage[])[],
  known: readonly (readonly KnownCheckpoint[])[] | undefined,
  options: RepairOptions,
): Promise<DiskRepair[]> {
  const { names, against, branches = [] } = options;
  const layers = chainImages.map((images) => images.map(({ layer }) => layer));
  const origins = await originsOf(options.origins ?? [], layers);
  const opened: LeftBranch[] = [];
  try {
    for (const branch of branches) opened.push(await openBranch(branch, layers, options));
    const disks: DiskRepair[] = [];
    for (const [index, chain] of chains.entries()) {
      const [branch, ...more] = opened.filter(({ disk }) => disk === index);
      if (more.length > 0 || (branch !== undefined && against !== undefined)) {
        throw new UsageError(
          `${chain.top.path}: ${[branch!, ...more].map(({ path }) => `branch ${path}`).join(' and ')}${against === undefined ? '' : ' and a backup to compare with'}: a disk takes one of them`,
        );
      }
      const changes =
        branch !== undefined
          ? await changesOnBranch(branch, chain.top.virtualSizeBytes, options)
          : against !== undefined
            ? changesSinceBackup(chain, against[index]!, options)
            : undefined;
      const target = { names, known: known?.[index], statedOrigin: origins[index], changes };
      disks.push(await planRepair(chain, chainImages[index]!, target, options));
    }
    return disks;
  } finally {
    await Promise.all(opened.map(({ close }) => close()));
  }
}

/** The origin of each disk: the one that is in its chain. */
async function originsOf(
  names: readonly string[],
  chains: readonly (readonly Layer[])[],
): Promise<(string | undefined)[]> {
  const origins: (string | undefined)[] = chains.map(() => undefined);
  for (const name of names) {
    const identity = await fileIdentity(parseReference(name, undefined).path);
    const own = chains.flatMap((layers, index) =>
      layers.some(({ storage }) => storage.identity === identity) ? [index] : [],
    );
    if (own.length === 0) {
      const paths = chains.map((layers) => layers.map(({ path }) => path).join(' ← ')).join(', ');
      throw new UsageError(`origin ${name}: not in the backing chain, which is ${paths}`);
    }
    for (const index of own) {
      if (origins[index] !== undefined)
        throw new UsageError(`origins ${origins[index]} and ${name}: both are of one disk`);
      origins[index] = name;
    }
  }
  return origins;
}
