/**
 * The allocation of one image of a chain, as a dirty bitmap.
 */
import { cleanBitmap, clearMarksFrom, type DirtyBitmap, markRange } from '../../bitmap/dirty-bitmap.ts';
import { divideUp } from '../../bytes/align.ts';
import { runsOfOnes, skipBytes } from '../../bytes/bits.ts';
import { replaceBytes, setRange } from '../../bytes/chunked-bits.ts';
import { guestBytesPerL2Table, subclusterSizeBytes } from '../../format/header.ts';
import type { Content } from '../../format/l2-entry.ts';
import type { ActiveTables } from '../../image/image.ts';
import type { TableReading } from '../../image/read-tables.ts';
import { type Scan, scanActiveTables } from '../../image/scan.ts';

/** The disk of a bitmap, and the content that it marks. */
export interface LayerBitmapForm {
  readonly content: Content;
  /** Size of the bitmap's disk. Clusters of the image beyond it are ignored. */
  readonly virtualSizeBytes: number;
  readonly granularityBits: number;
}

/**
 * Marks every granule that the image itself holds at least in part. Its backing images do not matter.
 *
 * @returns also the scan, which a census of the image may continue
 */
export async function layerBitmap(
  tables: ActiveTables,
  { content, virtualSizeBytes, granularityBits }: LayerBitmapForm,
  reading: TableReading,
): Promise<{ bitmap: DirtyBitmap; scan: Scan }> {
  const { header } = tables.image;
  const bitmap = cleanBitmap(virtualSizeBytes, granularityBits);
  const unitBits = Math.log2(subclusterSizeBytes(header));
  const tableBytes = guestBytesPerL2Table(header);
  const own = Math.min(header.virtualSizeBytes, virtualSizeBytes);
  const scan = await scanActiveTables(
    tables,
    {
      content,
      onTables(l1Index, units) {
        // Entries past the end of the disk are VM state, or the rest of a disk that was shrunk.
        const start = l1Index * tableBytes;
        if (start >= own) return;
        const unitCount = Math.min(units.length * 8, divideUp(own - start, 2 ** unitBits));
        // A table has at least 64 units, so it starts at a byte of the bitmap.
        if (unitBits === granularityBits) replaceBytes(bitmap.bits, start / 2 ** granularityBits / 8, units);
        else if (unitBits > granularityBits) refine(bitmap, start, units, unitCount, unitBits);
        else coarsen(bitmap, start, units, unitCount, unitBits);
      },
    },
    reading,
  );
  // The last cluster of a shorter image may have marked granules past its end.
  clearMarksFrom(bitmap, own);
  return { bitmap, scan };
}

function refine(
  bitmap: DirtyBitmap,
  start: number,
  units: Uint8Array,
  unitCount: number,
  unitBits: number,
): void {
  const unitBytes = 2 ** unitBits;
  for (const run of runsOfOnes(units, 0, unitCount)) {
    markRange(bitmap, start + run.start * unitBytes, (run.end - run.start) * unitBytes);
  }
}

function coarsen(
  bitmap: DirtyBitmap,
  start: number,
  units: Uint8Array,
  unitCount: number,
  unitBits: number,
): void {
  const firstUnit = start / 2 ** unitBits;
  const shift = bitmap.granularityBits - unitBits;
  const byteCount = divideUp(unitCount, 8);
  for (
    let byte = skipBytes(units, 0, 0, byteCount);
    byte < byteCount;
    byte = skipBytes(units, 0, byte + 1, byteCount)
  ) {
    for (let unit = byte * 8; unit < byte * 8 + 8 && unit < unitCount; unit++) {
      if ((units[byte]! & (1 << (unit & 7))) === 0) continue;
      const granule = Math.floor((firstUnit + unit) / 2 ** shift);
      setRange(bitmap.bits, granule, granule + 1);
    }
  }
}
