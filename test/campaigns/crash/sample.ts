/** A random sample of a sequence that is not held in memory. */
import type { Random } from '../../support/random.ts';

export class Sample<T> {
  readonly items: T[] = [];
  readonly #most: number;
  readonly #random: Random;
  #offered = 0;

  constructor(most: number, random: Random) {
    this.#most = most;
    this.#random = random;
  }

  offer(item: T): void {
    this.#offered++;
    if (this.items.length < this.#most) {
      this.items.push(item);
      return;
    }
    const place = this.#random.below(this.#offered);
    if (place < this.#most) this.items[place] = item;
  }
}
