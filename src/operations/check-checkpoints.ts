/**
 * Judges the checkpoints of whole backing chains: what libvirt will say of each, and what it does not look at.
 */
import { layerBitmap } from '../allocation/layer-bitmap.ts';
import { cleanBitmap, dirtyBytes, mergeInto, resample, withoutMarks } from '../bitmap/dirty-bitmap.ts';
import { readBitmap } from '../bitmap/read-bitmap.ts';
import { allLayers, type Chain, openChain } from '../chain/chain.ts';
import { parseReference } from '../chain/reference.ts';
import type { BitmapState } from '../checkpoint/bitmap-state.ts';
import { type CheckpointProblem, judge } from '../checkpoint/verdict.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { noHostClusters } from '../image/host-clusters.ts';
import { readActiveL1Table } from '../image/image.ts';
import type { L2Reading } from '../image/l2-tables.ts';
import { type ChainImage, examineChainImage, originOf, stateIn } from './checkpoint-chain.ts';
import { chooseCheckpoints } from './choose-checkpoints.ts';
import { type CheckpointFiles, type CheckpointRecords, readRecords } from './known-checkpoints.ts';
import { lockingOf, type OperationOptions } from './options.ts';
import { repairAdvice } from './repair-advice.ts';
import { tableReading } from './table-progress.ts';

export interface CheckedBitmap {
  readonly image: string;
  readonly state: BitmapState;
  readonly granularity: number | null;
  /** Bytes of granules of which an image above the origin holds a part and that its bitmap does not mark. */
  readonly missingBytes: number;
}

export interface CheckedCheckpoint {
  readonly name: string;
  /** What libvirt says of it; it looks at names and flags only. */
  readonly libvirt: 'accepts' | 'refuses';
  /** libvirt accepts it, and an incremental backup from it is complete. */
  readonly valid: boolean;
  /** What an incremental backup from it copies, in bytes; null where there can be none. */
  readonly dirtyBytes: number | null;
  /** From the top down to the image in which the checkpoint begins. */
  readonly bitmaps: readonly CheckedBitmap[];
  readonly problems: readonly CheckpointProblem[];
  /** What to do about them. */
  readonly advice: string | null;
}

export interface CheckedDisk {
  readonly image: string;
  readonly virtualSize: number;
  readonly images: readonly { readonly image: string; readonly format: 'qcow2' | 'raw' }[];
  readonly checkpoints: readonly CheckedCheckpoint[];
  /** Names of bitmaps that no known checkpoint has. */
  readonly unknown: readonly string[];
}

export interface CheckOptions extends OperationOptions, CheckpointFiles {}

export interface CheckResult {
  readonly schema: 1;
  /** Nothing was found that needs to be done. */
  readonly healthy: boolean;
  readonly disks: readonly CheckedDisk[];
}

/**
 * Walks the backing chain of each image. Writes nothing.
 *
 * @param imageNames the active image of each disk
 */
export async function checkCheckpoints(
  imageNames: readonly string[],
  options: CheckOptions = {},
): Promise<CheckResult> {
  const records = await readRecords(options, imageNames.length, options);
  const disks: CheckedDisk[] = [];
  for (const [position, name] of imageNames.entries()) {
    const chain = await openChain(parseReference(name, undefined), {
      mode: 'read',
      locking: lockingOf(options),
      bitmaps: 'lenient',
      onWarning: options.onWarning,
    });
    try {
      disks.push(await checkDisk(chain, (images) => records?.of(images, position), options));
    } finally {
      await chain.close();
    }
  }
  records?.warnOfOtherDisks();
  const healthy = disks.every(({ checkpoints }) => checkpoints.every(({ valid }) => valid));
  return { schema: 1, healthy, disks };
}

async function checkDisk(
  chain: Chain,
  recordsOf: (images: readonly ChainImage[]) => ReturnType<CheckpointRecords['of']> | undefined,
  options: OperationOptions,
): Promise<CheckedDisk> {
  const images: ChainImage[] = [];
  for (const layer of await allLayers(chain)) images.push(await examineChainImage(layer));
  const { chosen, unclear, unknown } = chooseCheckpoints(images, undefined, await recordsOf(images));
  const names = [...chosen.map(({ name }) => name), ...unclear];
  const uncovered = await uncoveredBytes(images, names, options);
  const checkpoints: CheckedCheckpoint[] = [];
  for (const name of names) checkpoints.push(await checkpoint(images, name, uncovered));
  const { path, virtualSizeBytes } = chain.top;
  return {
    image: path,
    virtualSize: virtualSizeBytes,
    images: images.map(({ layer }) => ({ image: layer.path, format: layer.format })),
    checkpoints,
    unknown,
  };
}

async function checkpoint(
  images: readonly ChainImage[],
  name: string,
  uncovered: readonly ReadonlyMap<string, number>[],
): Promise<CheckedCheckpoint> {
  const holdings = images.map((image, index) => ({
    image: image.layer.path,
    state: stateIn(image, name),
    virtualSizeBytes: image.layer.virtualSizeBytes,
    missingBytes: uncovered[index]!.get(name) ?? 0,
  }));
  const { accepted, problems } = judge(name, holdings);
  const held = images.slice(0, (originOf(images, name) ?? -1) + 1);
  const canBackUp = accepted && problems.every(({ code }) => code !== 'size-mismatch');
  return {
    name,
    libvirt: accepted ? 'accepts' : 'refuses',
    valid: problems.length === 0,
    dirtyBytes: canBackUp ? await unitedDirtyBytes(held, name) : null,
    bitmaps: held.map(({ bitmaps }, index) => {
      const { image, state, missingBytes } = holdings[index]!;
      const entry = bitmaps.get(name);
      return {
        image,
        state,
        granularity: entry === undefined ? null : 2 ** entry.granularityBits,
        missingBytes,
      };
    }),
    problems,
    advice: repairAdvice(name, holdings),
  };
}

/** As `virsh checkpoint-dumpxml --size` has it: what the bitmaps of all images mark together. */
async function unitedDirtyBytes(images: readonly ChainImage[], name: string): Promise<number> {
  const entries = images.map(({ bitmaps }) => bitmaps.get(name)!);
  const granularityBits = Math.min(...entries.map((entry) => entry.granularityBits));
  const united = cleanBitmap(images[0]!.layer.virtualSizeBytes, granularityBits);
  for (const [index, { layer }] of images.entries()) {
    if (layer.format === 'qcow2') mergeInto(united, await readBitmap(layer.image, entries[index]!));
  }
  return dirtyBytes(united);
}

/**
 * For each image, what it holds and its good bitmaps do not mark, by name. Only of bitmaps that some image below has too:
 * what the origin holds may be older than the checkpoint.
 */
async function uncoveredBytes(
  images: readonly ChainImage[],
  names: readonly string[],
  options: OperationOptions,
): Promise<ReadonlyMap<string, number>[]> {
  const origins = names.map((name) => originOf(images, name) ?? -1);
  const judged = images.map((image, index) =>
    names.flatMap((name, position) =>
      index < origins[position]! && stateIn(image, name) === 'good' ? [image.bitmaps.get(name)!] : [],
    ),
  );
  const tables: Float64Array[] = [];
  for (const [index, { layer }] of images.entries()) {
    const matters = judged[index]!.length > 0 && layer.format === 'qcow2';
    tables.push(matters ? await readActiveL1Table(layer.image) : new Float64Array(0));
  }
  const reading = tableReading(
    images.flatMap(({ layer }, index) =>
      layer.format === 'qcow2' ? [{ image: layer.image, l2Offsets: tables[index]! }] : [],
    ),
    options,
  );
  const result: ReadonlyMap<string, number>[] = [];
  for (const [index, image] of images.entries()) {
    result.push(await uncoveredIn(image, tables[index]!, judged[index]!, reading));
  }
  return result;
}

async function uncoveredIn(
  { layer }: ChainImage,
  l2Offsets: Float64Array,
  entries: readonly BitmapDirectoryEntry[],
  reading: L2Reading,
): Promise<ReadonlyMap<string, number>> {
  const bytes = new Map<string, number>();
  if (layer.format === 'raw' || entries.length === 0) return bytes;
  const { image } = layer;
  const form = {
    content: 'held',
    virtualSizeBytes: image.header.virtualSizeBytes,
    granularityBits: Math.min(...entries.map(({ granularityBits }) => granularityBits)),
  } as const;
  const held = await layerBitmap(image, l2Offsets, noHostClusters(image), form, reading);
  for (const entry of entries) {
    const missing = withoutMarks(resample(held, entry.granularityBits), await readBitmap(image, entry));
    bytes.set(entry.name, dirtyBytes(missing));
  }
  return bytes;
}
