/**
 * The columns and cells that several tables of bitmaps share.
 */
import { formatShare, formatSize } from '../../text/size.ts';
import { color } from '../color.ts';
import type { Cell, Column } from './table.ts';

export const SIZE_COLUMNS = [
  { title: 'granularity', align: 'right' },
  { title: 'dirty', align: 'right' },
  { title: 'share', align: 'right' },
] as const satisfies readonly Column[];

export function sizeCells(
  { granularity, dirtyBytes }: { readonly granularity: number; readonly dirtyBytes: number | null },
  virtualSize: number,
): Cell[] {
  const marks =
    dirtyBytes === null ? ['-', '-'] : [formatSize(dirtyBytes), formatShare(dirtyBytes, virtualSize)];
  return [formatSize(granularity), ...marks];
}

/** @param done the participle of what is done to a bitmap, such as `added` */
export function changeCell(done: string, dryRun: boolean): Cell {
  return dryRun ? `would be ${done}` : { text: done, paint: color.green };
}
