/**
 * The order of names that contain numbers: virtnbdbackup.2 comes before virtnbdbackup.11.
 */

/** Compares numbers where both names have one, and code units elsewhere. */
export function inNaturalOrder(a: string, b: string): number {
  const [one, other] = [partsOf(a), partsOf(b)];
  for (const [index, part] of one.entries()) {
    const counterpart = other[index];
    if (counterpart === undefined) return 1;
    const order = compareParts(part, counterpart);
    if (order !== 0) return order;
  }
  return one.length - other.length || compareText(a, b);
}

/** Whether the names differ only in their numbers. The numeric order is then likely the order of creation. */
export function areNumbered(names: readonly string[]): boolean {
  return new Set(names.map((name) => name.replaceAll(/\d+/g, '0'))).size === 1 && /\d/.test(names[0]!);
}

function partsOf(name: string): string[] {
  return name.match(/\d+|\D+/g) ?? [];
}

function compareParts(a: string, b: string): number {
  const areNumbers = /^\d/.test(a) && /^\d/.test(b);
  if (!areNumbers) return compareText(a, b);
  const [one, other] = [BigInt(a), BigInt(b)];
  return one === other ? 0 : one < other ? -1 : 1;
}

function compareText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
