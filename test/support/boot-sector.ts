/** A boot sector with code of the test, which SeaBIOS starts. */

/** @param code for the 16-bit mode, run at 0x7c00 */
export function bootSector(code: readonly number[]): Uint8Array {
  const sector = new Uint8Array(512);
  sector.set(code);
  sector.set([0x55, 0xaa], 510);
  return sector;
}
