/**
 * Prints aligned columns.
 */

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Text, or text with a colour. The colour is applied after the width is measured. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  const all = [columns.map(({ title }): Cell => title), ...rows];
  const widths = columns.map((_, index) =>
    all.reduce((width, row) => Math.max(width, textOf(row[index]!).length), 0),
  );
  return all.map((row) => `${line(columns, widths, row)}\n`).join('');
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

function line(columns: readonly Column[], widths: readonly number[], row: readonly Cell[]): string {
  const cells = row.map((cell, index) => {
    const text = textOf(cell);
    const painted = typeof cell === 'string' ? text : cell.paint(text);
    const padding = ' '.repeat(widths[index]! - text.length);
    return columns[index]!.align === 'right' ? padding + painted : painted + padding;
  });
  return cells.join('  ').trimEnd();
}
