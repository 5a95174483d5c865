/**
 * Aligned columns.
 */

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** @param rows cells without colour, since their width is counted */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const all = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, index) =>
    all.reduce((width, row) => Math.max(width, row[index]!.length), 0),
  );
  return all
    .map((row) =>
      row
        .map((cell, index) =>
          columns[index]!.align === 'right' ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}
