/**
 * Inspects one image of a chain with a single pass over its tables. Checks the structure on which bitmaps
 * depend, and whether the bitmaps mark all allocated ranges.
 */
import { type DirtyBitmap, dirtyBytes, resample, withoutMarks } from '../../bitmap/dirty-bitmap.ts';
import { ownGranularityBits } from '../../bitmap/granularity.ts';
import { takeCensus } from '../../census/census.ts';
import { RefusedError } from '../../errors.ts';
import { layerBitmap } from '../../guest/allocation/layer-bitmap.ts';
import { type ActiveTables, readActiveTables } from '../../image/image.ts';
import type { TableReading } from '../../image/read-tables.ts';
import { type BitmapInspection, inspectBitmaps } from '../../inspection/inspect-bitmaps.ts';
import type { Problem } from '../../inspection/problem.ts';
import { isWrittenElsewhere } from '../../storage/locks.ts';
import { type ChainImage, type RunningReader, readMarks, stateIn } from './chain-images.ts';

export interface InspectedImage extends ChainImage {
  readonly problems: readonly Problem[];
  /** Allocated bytes that the good bitmap does not mark, by name. */
  readonly missingBytes: ReadonlyMap<string, number>;
}

/**
 * @param activeTables undefined if they cannot be read, which is reported as a problem
 * @param covering names of bitmaps that must mark all allocated ranges of the image
 * @param isShared whether the image was opened although other programs may use it. If false, no other program
 * has it open for writing
 */
export async function inspectChainImage(
  examined: ChainImage,
  activeTables: ActiveTables | undefined,
  covering: readonly string[],
  isShared: boolean,
  reading: TableReading,
): Promise<InspectedImage> {
  const { layer } = examined;
  if (layer.format === 'raw') return { ...examined, problems: [], missingBytes: new Map() };
  // QEMU may change the tables during a read, and QEMU itself maintains them.
  const reader = examined.running?.reader;
  if (reader !== undefined)
    return { ...examined, problems: [], missingBytes: await missingInQemu(examined, reader, covering) };
  const isBeingWritten = isShared && (await isWrittenElsewhere(layer.storage.fd));
  try {
    const { image } = layer;
    const tables = activeTables ?? (await readActiveTables(image));
    const granularities = covering.flatMap((name) => examined.bitmaps.get(name)?.granularityBits ?? []);
    const form = {
      content: 'allocated',
      virtualSizeBytes: image.header.virtualSizeBytes,
      // Without a bitmap to compare, use the granularity that needs the least work.
      granularityBits:
        granularities.length === 0 ? ownGranularityBits(image.header) : Math.min(...granularities),
    } as const;
    const { bitmap: allocated, scan } = await layerBitmap(tables, form, reading);
    const inspection = await inspectBitmaps(await takeCensus(scan, reading), reading);
    const inspected = { ...examined, unreadable: unreadableIn(inspection), isBeingWritten };
    return {
      ...inspected,
      problems: isBeingWritten ? whileWritten(inspection.problems) : inspection.problems,
      missingBytes: await missingIn(inspected, allocated, covering),
    };
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    const problem: Problem = {
      code: 'image-unreadable',
      severity: 'error',
      message: error.message,
      ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
      unopenable: false,
    };
    return { ...examined, unreadable: 'all', isBeingWritten, problems: [problem], missingBytes: new Map() };
  }
}

/** Tables are written before refcounts are, and bitmaps are stored when the image is closed. */
const NORMAL_WHILE_WRITTEN: ReadonlySet<Problem['code']> = new Set([
  'in-use',
  'leaked-clusters',
  'refcount-too-low',
]);

function whileWritten(problems: readonly Problem[]): Problem[] {
  const note: Problem = {
    code: 'being-written',
    severity: 'note',
    message:
      'a program has the image open for writing: its bitmaps are marked in-use, and their content is in the memory of that program. It is unknown whether they are complete, or were left in-use by an earlier crash',
    unopenable: false,
  };
  return [note, ...problems.filter(({ code }) => !NORMAL_WHILE_WRITTEN.has(code))];
}

/**
 * Bitmaps whose directory entry or table is broken: all, or those names. The content of one in use is not
 * valid anyway.
 */
export function unreadableIn({ unopenable, bitmaps }: BitmapInspection): ChainImage['unreadable'] {
  if (unopenable) return 'all';
  const distrusted = bitmaps.filter(({ trusted, entry }) => !trusted && entry?.inUse === false);
  return new Set(distrusted.map(({ entry }) => entry!.name));
}

async function missingIn(
  inspected: ChainImage,
  allocated: DirtyBitmap,
  covering: readonly string[],
): Promise<Map<string, number>> {
  const missing = new Map<string, number>();
  for (const name of covering) {
    if (stateIn(inspected, name) !== 'good') continue;
    const bitmap = await readMarks(inspected, name);
    missing.set(name, dirtyBytes(withoutMarks(resample(allocated, bitmap.granularityBits), bitmap)));
  }
  return missing;
}

/** Reads the allocation first. The bitmaps then include writes of the guest during that read. */
async function missingInQemu(
  examined: ChainImage,
  reader: RunningReader,
  covering: readonly string[],
): Promise<Map<string, number>> {
  const granularities = covering.flatMap((name) =>
    stateIn(examined, name) === 'good' ? examined.bitmaps.get(name)!.granularityBits : [],
  );
  if (granularities.length === 0) return new Map();
  return missingIn(examined, await reader.readAllocated(Math.min(...granularities)), covering);
}
