/**
 * Finds the differing parts of two buffers of equal length.
 */

/** Number of parts into which a differing range is split for the next comparison. */
const FANOUT = 16;

/**
 * Calls `onUnit` in order for each unit that differs.
 *
 * @param unitBytes size of a unit, a power of two; units are counted from the start of the buffers
 */
export function differingUnits(
  left: Buffer,
  right: Buffer,
  unitBytes: number,
  onUnit: (start: number, end: number) => void,
): void {
  narrow(0, left.length);

  function narrow(start: number, end: number): void {
    if (left.compare(right, start, end, start, end) === 0) return;
    const units = Math.ceil((end - start) / unitBytes);
    if (units <= 1) {
      onUnit(start, end);
      return;
    }
    const step = Math.ceil(units / FANOUT) * unitBytes;
    for (let from = start; from < end; from += step) narrow(from, Math.min(from + step, end));
  }
}
