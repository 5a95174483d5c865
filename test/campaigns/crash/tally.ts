/** How much the power-cut tests of a file have gone through, for the line they end with. */

export const tally = { plans: 0, states: 0, repeated: 0, seenByQemu: 0 };

export function printTally(about: string): void {
  const { plans, states, repeated, seenByQemu } = tally;
  console.log(
    `Power cuts, ${about}: ${plans} plans, ${states} states, ${repeated} changes made again after a cut, ${seenByQemu} states shown to QEMU`,
  );
}
