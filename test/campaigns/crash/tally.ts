/** Counts the cases of a file of power-cut tests, for its last line of output. */

export const tally = { plans: 0, states: 0, repeated: 0, seenByQemu: 0 };

export function printTally(about: string): void {
  const { plans, states, repeated, seenByQemu } = tally;
  console.log(
    `Power cuts, ${about}: ${plans} plans, ${states} states, ${repeated} changes made again after a cut, ${seenByQemu} states shown to QEMU`,
  );
}
