/** Chooses guest clusters at random, the same ones for the same seed. */

/** @param {number} seed @returns {() => number} uniform in [0, 1); the generator is known as mulberry32 */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Visits each of the clusters 0…clusterCount-1 with the probability `share`, in rising order. Gaps between independent
 * choices are geometrically distributed, so the work grows with the clusters chosen, not with the disk.
 * @param {{ clusterCount: number, share: number, seed: number }} choice
 * @param {(guestCluster: number) => void} visit
 */
export function eachChosen({ clusterCount, share, seed }, visit) {
  if (share === 0) return;
  const random = randomNumbers(seed);
  const scale = Math.log1p(-share);
  const gap = () => Math.floor(Math.log1p(-random()) / scale);
  for (let cluster = gap(); cluster < clusterCount; cluster += 1 + gap()) visit(cluster);
}

/**
 * The numbers 0…count-1 in random order.
 * @param {number} count @param {number} seed
 */
export function shuffled(count, seed) {
  const random = randomNumbers(seed);
  const numbers = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const moved = numbers[last] ?? 0;
    numbers[last] = numbers[other] ?? 0;
    numbers[other] = moved;
  }
  return numbers;
}
