/** What the checker throws for an image that QEMU would not even open. */

export class Unopenable extends Error {}

export function requireOpenable(isFine: boolean, otherwise: string): void {
  if (!isFine) throw new Unopenable(otherwise);
}
