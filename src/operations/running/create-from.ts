/**
 * Creates bitmaps in an image that a running QEMU has open, like the proposed job
 * block-dirty-bitmap-create-from.
 */
import { type DirtyBitmap, dirtyBytes, resample, withoutMarks } from '../../bitmap/dirty-bitmap.ts';
import { requireStorableName } from '../../checkpoint/names.ts';
import type { ImageNode } from '../../qemu/block-nodes.ts';
import { changeNodes, type NodeChange } from '../../qemu/change-node.ts';
import { readMarksOfQemu } from '../../qemu/read-exports.ts';
import { copyBitmap } from '../../qemu/temporary-bitmaps.ts';
import { chooseTargets, type Target } from '../create-from/choose-targets.ts';
import { requireMemory, roundings, warnOfMissing, warnOfWholeDisk } from '../create-from/create-from.ts';
import type {
  CreatedBitmap,
  CreateFromOptions,
  CreateFromResult,
  KeptBitmap,
} from '../create-from/create-from-result.ts';
import { type BitmapSource, defaultName, INHERITS } from '../create-from/sources.ts';
import type { RunningQemu } from './open-qemu.ts';
import { type RunningMarks, readRunningSource, refuseTransient, requireReadable } from './read-source.ts';
import { currentNode, type RunningImage, withRunningImage } from './running-image.ts';

/**
 * Reads the source, from QEMU if only QEMU has it, and creates the bitmaps in one transaction. Either all are
 * created, complete and recording, or none is. Writes during the read are marked too.
 *
 * @throws UsageError, RefusedError, InUseError, FailedError as `createFrom`; nothing was changed then
 */
export async function createFromRunning(
  qemu: RunningQemu,
  imageName: string,
  source: BitmapSource,
  options: Omit<CreateFromOptions, 'into'> = {},
): Promise<CreateFromResult> {
  options.names?.forEach(requireStorableName);
  return withRunningImage(qemu, imageName, options, async (running) => {
    const { session, nodes, image, path } = running;
    const node = nodes[0]!;
    requireReadable(path, source);
    const { targets, inheritedFrom, others } = await chooseTargets(
      running,
      { inherits: INHERITS[source.kind], defaultName: defaultName(source) },
      options,
    );
    const result = {
      schema: 1,
      image: path,
      into: null,
      source: source.kind,
      virtualSize: node.virtualSizeBytes,
      endOffset: image.storage.sizeBytes,
      inheritedFrom,
      dryRun: options.dryRun === true,
      sharedImages: [],
      plan: null,
    } as const;
    const granularities = [...targets, ...others].map(({ granularityBits }) => granularityBits);
    if (granularities.length === 0) return { ...result, bitmaps: [], kept: [] };
    requireMemory(image, targets, options);
    for (const { name } of targets) refuseTransient(running, name);

    const read = await readRunningSource(running, source, Math.min(...granularities), options);
    if (read.marks !== undefined) warnOfWholeDisk(running, source, read.marks, options);
    const kept: KeptBitmap[] = [];
    for (const { name } of others) kept.push(await coverage(running, name, read.marks, options));
    const rounded = read.marks === undefined ? undefined : roundings(read.marks);
    const sources = options.dryRun
      ? read.sources
      : await keepSources(running, read.sources, targets, options);
    const marks = { ...read, sources };
    const changes = targets.map((target) => changeFor(node, target, marks, rounded, options));
    if (!options.dryRun) await changeNodes(session, changes, options);
    const after = options.dryRun ? undefined : await currentNode(session, node);
    return { ...result, bitmaps: changes.map((change) => report(change, options, after)), kept };
  });
}

/** Copies the sources that are replaced, because QEMU clears or removes them before it reads them. */
async function keepSources(
  { session, nodes }: RunningImage,
  sources: readonly string[],
  targets: readonly Target[],
  { ifExists }: CreateFromOptions,
): Promise<string[]> {
  const node = nodes[0]!;
  const kept: string[] = [];
  for (const source of sources) {
    const isReplaced = ifExists === 'replace' && targets.some(({ name }) => name === source);
    const bitmap = isReplaced ? node.bitmaps.find(({ name }) => name === source) : undefined;
    // The copy of a bitmap that records must not miss the writes until the change.
    kept.push(bitmap === undefined ? source : await copyBitmap(session, node, bitmap, bitmap.recording));
  }
  return kept;
}

function changeFor(
  node: ImageNode,
  { name, granularityBits, present }: Target,
  { marks, sources }: RunningMarks,
  rounded: ((granularityBits: number) => DirtyBitmap) | undefined,
  { disabled, ifExists }: CreateFromOptions,
): NodeChange {
  const isAdded = present !== undefined && ifExists === 'merge';
  return {
    node,
    name,
    granularity: 2 ** granularityBits,
    recording: isAdded ? present.auto : disabled !== true,
    start: isAdded ? 'kept' : 'new',
    // A bitmap that is rounded out here makes a smaller carrier.
    marks: marks && rounded?.(granularityBits),
    sources: sources.filter((source) => source !== name),
  };
}

function report(
  { node, name, granularity, recording, start, marks }: NodeChange,
  { dryRun }: CreateFromOptions,
  after: ImageNode | undefined,
): CreatedBitmap {
  const present = node.bitmaps.find((bitmap) => bitmap.name === name);
  const made = after?.bitmaps.find((bitmap) => bitmap.name === name);
  const planned = marks === undefined ? 0 : dirtyBytes(marks);
  return {
    name,
    action: present === undefined ? 'created' : start === 'new' ? 'replaced' : 'merged',
    granularity,
    enabled: recording,
    dirtyBytes: dryRun || made === undefined ? planned : made.dirtyBytes,
  };
}

/** Checks whether an existing bitmap of the image marks everything that the source marks. */
async function coverage(
  { session, nodes, path }: RunningImage,
  name: string,
  marks: DirtyBitmap | undefined,
  options: CreateFromOptions,
): Promise<KeptBitmap> {
  const bitmap = nodes[0]!.bitmaps.find((each) => each.name === name)!;
  if (bitmap.inconsistent || marks === undefined) return { name, missingBytes: null };
  // Read the bitmap after the source, so that it also has the writes made during the first read.
  const own = await readMarksOfQemu(session, nodes[0]!, bitmap, options);
  const missingBytes = dirtyBytes(withoutMarks(resample(marks, own.granularityBits), own));
  if (missingBytes > 0) warnOfMissing(path, name, missingBytes, options);
  return { name, missingBytes };
}
