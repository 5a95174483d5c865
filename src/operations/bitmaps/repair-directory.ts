/**
 * Repairs the bitmaps of one image. QEMU opens the image afterwards, even if it refused the image because of
 * its bitmaps. Reliable bitmaps keep their content, the others keep their names, and leaked clusters are
 * freed.
 */
import { takeCensus } from '../../census/census.ts';
import { parseReference } from '../../chain/reference.ts';
import { isGranularity } from '../../format/bitmap-directory.ts';
import { readActiveTables } from '../../image/image.ts';
import { scanActiveTables } from '../../image/scan.ts';
import { tableReading } from '../../image/table-progress.ts';
import { inspectBitmaps } from '../../inspection/inspect-bitmaps.ts';
import type { Problem } from '../../inspection/problem.ts';
import type { BitmapFate, MendedBitmap } from '../../plan/mended-directory.ts';
import { planDirectoryRepair } from '../../plan/plan-directory-repair.ts';
import { type ChangeOptions, carryOut, type PlanReport, withChainToChange } from '../change-bitmaps.ts';
import { requireQcow2 } from '../open-qcow2.ts';

export interface DirectoryBitmap {
  /** null if the directory entry cannot be decoded. */
  readonly name: string | null;
  /** In bytes; null if the entry cannot be decoded or its granularity is invalid. */
  readonly granularity: number | null;
  readonly fate: BitmapFate;
  readonly found: readonly Problem[];
}

export interface DirectoryRepairResult {
  readonly schema: 1;
  readonly image: string;
  readonly dryRun: boolean;
  /** QEMU refused the image because of its bitmaps. */
  readonly wasUnopenable: boolean;
  /** All problems, including those of single bitmaps. */
  readonly problems: readonly Problem[];
  /** In the order of the directory. */
  readonly bitmaps: readonly DirectoryBitmap[];
  /** Clusters without references, and their bytes. Clusters of dropped bitmaps are not included. */
  readonly leakedClusters: number;
  readonly leakedBytes: number;
  /** null when nothing had to be written. */
  readonly plan: PlanReport | null;
}

/**
 * @throws RefusedError when the image is marked corrupt or dirty, or its refcounts or tables are not
 * reliable. Run `qemu-img check -r all` first
 */
export async function repairDirectory(
  imageName: string,
  options: ChangeOptions = {},
): Promise<DirectoryRepairResult> {
  const reference = parseReference(imageName, undefined);
  return withChainToChange(reference, options, 'lenient', async (chain) => {
    const { image, path } = requireQcow2(chain);
    const tables = await readActiveTables(image);
    const reading = tableReading([tables], options);
    const census = await takeCensus(await scanActiveTables(tables, undefined, reading), reading);
    const inspection = await inspectBitmaps(census, reading);
    const { bitmaps, plan } = await planDirectoryRepair(inspection, reading);
    const { problems, unopenable, leakedClusters } = inspection;
    if (isForgetful(bitmaps, unopenable)) {
      options.onWarning?.(
        `${path}: unreadable bitmaps ${options.dryRun ? 'would be' : 'are'} dropped; if a checkpoint began in this image, nothing in the chain shows it any more, and a backup from it would silently lack changes`,
        { kind: 'repair-forgotten', origin: path },
      );
    }
    return {
      schema: 1,
      image: path,
      dryRun: options.dryRun === true,
      wasUnopenable: unopenable,
      problems,
      bitmaps: bitmaps.map(reported),
      leakedClusters,
      leakedBytes: leakedClusters * image.header.clusterSizeBytes,
      plan: plan === undefined ? null : await carryOut(image, plan, options),
    };
  });
}

/** Whether a dropped name may have been that of a checkpoint. */
function isForgetful(bitmaps: readonly MendedBitmap[], wasUnopenable: boolean): boolean {
  if (bitmaps.length === 0) return wasUnopenable;
  const kept = new Set(bitmaps.flatMap(({ bitmap, slot }) => (slot === undefined ? [] : bitmap.entry!.name)));
  return bitmaps.some(({ bitmap: { entry }, slot }) => slot === undefined && !kept.has(entry?.name ?? ''));
}

function reported({ bitmap, fate }: MendedBitmap): DirectoryBitmap {
  const { entry, problems } = bitmap;
  return {
    name: entry?.name ?? null,
    granularity:
      entry !== undefined && isGranularity(entry.granularityBits) ? 2 ** entry.granularityBits : null,
    fate,
    found: problems,
  };
}
