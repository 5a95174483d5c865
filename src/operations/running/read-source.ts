/**
 * Reads the source of new bitmaps in a running image, from QEMU if only QEMU has it.
 */
import { cleanBitmap, type DirtyBitmap, markRange, mergeInto } from '../../bitmap/dirty-bitmap.ts';
import { parseReference } from '../../chain/reference.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import { RefusedError } from '../../errors.ts';
import type { ImageNode } from '../../qemu/block-nodes.ts';
import { readAllocatedByQemu } from '../../qemu/read-exports.ts';
import { recordWrites } from '../../qemu/temporary-bitmaps.ts';
import { fileIdentity } from '../../storage/file.ts';
import { requireConsistentBitmap } from '../bitmaps/find-bitmap.ts';
import { visitNamedBitmaps } from '../bitmaps/named-bitmaps.ts';
import type { ChangeOptions } from '../change-bitmaps.ts';
import { type BitmapSource, baseIsElsewhere, baseIsTop, markListed } from '../create-from/sources.ts';
import type { RunningImage } from './running-image.ts';

export function requireReadable(path: string, source: BitmapSource): void {
  if (source.kind === 'data' || source.kind === 'compare') throw unreadable(path, source);
}

function unreadable(path: string, { kind }: BitmapSource): RefusedError {
  return new RefusedError('UNSUPPORTED', `${path}: this source of a running guest cannot be read`, {
    remedy: { kind: 'shut-down-for-source' },
    context: { file: path, source: kind },
  });
}

/** A bitmap that is not persistent prevents a persistent bitmap of the same name. */
export function refuseTransient({ nodes, path }: RunningImage, name: string): void {
  if (!nodes[0]!.bitmaps.some((bitmap) => bitmap.name === name && !bitmap.persistent)) return;
  throw new RefusedError(
    'BITMAP_EXISTS',
    `${path}: the running QEMU has a bitmap "${name}" that is not persistent`,
    {
      remedy: { kind: 'choose-name-free-in-qemu' },
      context: { file: path, bitmap: name },
    },
  );
}

export interface RunningMarks {
  /** undefined if QEMU has all marks itself. */
  readonly marks: DirtyBitmap | undefined;
  /** Bitmaps of the node whose marks count too. */
  readonly sources: readonly string[];
}

export async function readRunningSource(
  running: RunningImage,
  source: BitmapSource,
  granularityBits: number,
  options: ChangeOptions,
): Promise<RunningMarks> {
  const { session, nodes, chain, image, present, path } = running;
  const node = nodes[0]!;
  const marks = cleanBitmap(node.virtualSizeBytes, granularityBits);
  const held = async (depth: number): Promise<RunningMarks> => {
    const sources = options.dryRun ? [] : [await recordWrites(session, node, 2 ** granularityBits)];
    return { marks: await readAllocatedByQemu(session, node, depth, granularityBits, options), sources };
  };
  switch (source.kind) {
    case 'allocated':
      return held(source.above === undefined ? 1 : await depthOf(nodes, source.above));
    case 'bitmap': {
      const { from } = source;
      const isOwn =
        from === undefined ||
        (await fileIdentity(parseReference(from, undefined).path)) === node.file?.identity;
      if (!isOwn) {
        await visitNamedBitmaps(chain, source, options, (each) => mergeInto(marks, each));
        return { marks, sources: [] };
      }
      if (source.chain) throw unreadable(path, source);
      const names = source.names.filter((name) => name !== ALLOCATED);
      for (const name of names) requireConsistentBitmap(image, present, name);
      if (names.length === source.names.length) return { marks: undefined, sources: names };
      const { marks: ofImage, sources } = await held(1);
      return { marks: ofImage, sources: [...names, ...sources] };
    }
    case 'extents':
      for (const { offset, length } of source.extents) markListed(marks, offset, length);
      return { marks, sources: [] };
    case 'everything':
      markRange(marks, 0, node.virtualSizeBytes);
      return { marks, sources: [] };
    case 'data':
    case 'compare':
      throw new Error('refused before');
  }
}

/**
 * The number of images in the chain above the base.
 *
 * @throws UsageError when the base is not an image below the top
 */
async function depthOf(nodes: readonly ImageNode[], base: string): Promise<number> {
  const identity = await fileIdentity(parseReference(base, undefined).path);
  const depth = nodes.findIndex(({ file }) => file?.identity === identity);
  // QEMU counts filters as images.
  const filtered = nodes.slice(0, Math.max(depth, 0)).find(hasFilterBelow);
  if (filtered !== undefined) throw filterBelow(filtered);
  if (depth > 0) return depth;
  if (depth === 0) throw baseIsTop(base);
  throw baseIsElsewhere(
    base,
    nodes.map(({ path }) => path),
  );
}

function hasFilterBelow({ backing, backingChild }: ImageNode): boolean {
  return backingChild !== backing?.nodeName;
}

function filterBelow({ path, backingChild }: ImageNode): RefusedError {
  return new RefusedError(
    'UNSUPPORTED',
    `${path}: QEMU has the filter node "${backingChild}" between this image and its backing image, so the images above the base cannot be read`,
    { remedy: { kind: 'shut-down-for-source' }, context: { file: path } },
  );
}
