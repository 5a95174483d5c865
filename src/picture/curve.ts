/**
 * A space-filling curve over a rectangle. Places that are close on the disk are close in the picture. It is
 * the generalized Hilbert curve of Jakub Červený (github.com/jakubcerveny/gilbert), which fills rectangles of
 * any size.
 */

export interface Curve {
  readonly width: number;
  readonly height: number;
  /** Column and row of each cell, in the order of the curve. */
  readonly x: Uint16Array;
  readonly y: Uint16Array;
}

/**
 * The curve begins at the top left and visits every cell once. Each cell is next to the previous one. If the
 * longer side is odd and the shorter one even, one step is diagonal.
 */
export function curveOver(width: number, height: number): Curve {
  const x = new Uint16Array(width * height);
  const y = new Uint16Array(width * height);
  let visited = 0;
  if (width >= height) fill(0, 0, width, 0, 0, height);
  else fill(0, 0, 0, height, width, 0);
  return { width, height, x, y };

  /** Fills the rectangle at (column, row) with the main side (ax, ay) and the other side (bx, by). */
  function fill(column: number, row: number, ax: number, ay: number, bx: number, by: number): void {
    const length = Math.abs(ax + ay);
    const breadth = Math.abs(bx + by);
    const [dax, day, dbx, dby] = [Math.sign(ax), Math.sign(ay), Math.sign(bx), Math.sign(by)];
    if (breadth === 1) line(column, row, dax, day, length);
    else if (length === 1) line(column, row, dbx, dby, breadth);
    else {
      let [ax2, ay2] = [Math.floor(ax / 2), Math.floor(ay / 2)];
      let [bx2, by2] = [Math.floor(bx / 2), Math.floor(by / 2)];
      if (2 * length > 3 * breadth) {
        // A long rectangle is split into two parts. Even lengths are preferred.
        if (Math.abs(ax2 + ay2) % 2 === 1 && length > 2) [ax2, ay2] = [ax2 + dax, ay2 + day];
        fill(column, row, ax2, ay2, bx, by);
        fill(column + ax2, row + ay2, ax - ax2, ay - ay2, bx, by);
      } else {
        // One step up, one long step, one step down.
        if (Math.abs(bx2 + by2) % 2 === 1 && breadth > 2) [bx2, by2] = [bx2 + dbx, by2 + dby];
        fill(column, row, bx2, by2, ax2, ay2);
        fill(column + bx2, row + by2, ax, ay, bx - bx2, by - by2);
        const lastColumn = column + (ax - dax) + (bx2 - dbx);
        const lastRow = row + (ay - day) + (by2 - dby);
        fill(lastColumn, lastRow, -bx2, -by2, ax2 - ax, ay2 - ay);
      }
    }
  }

  function line(column: number, row: number, dx: number, dy: number, count: number): void {
    for (let step = 0; step < count; step++) {
      x[visited] = column + step * dx;
      y[visited] = row + step * dy;
      visited++;
    }
  }
}
