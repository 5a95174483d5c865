/**
 * Reads from the page cache without another thread, which takes less time.
 */
import { hrtime } from 'node:process';
import type { Storage } from './storage.ts';

/** The minimum speed of the page cache. Slower reads wait for something else. */
const CACHED_BYTES_PER_MS = 2 * 2 ** 20;
/** The total delay after which no more reads are made. */
const PATIENCE_MS = 2;
/** The longest time that signals and timers may wait for their turn. */
const TURN_MS = 20;

export interface CachedReads {
  /** Fills `into` before it returns. Returns false if that failed, or if such reads have become slow. */
  read(storage: Pick<Storage, 'readNow'>, offset: number, into: Uint8Array): boolean;
  /** Lets other tasks run if they have waited for long. */
  giveWay(): Promise<void> | undefined;
}

export function cachedReads(): CachedReads {
  let lateMs = 0;
  let turn = milliseconds();
  return {
    read(storage, offset, into) {
      const start = milliseconds();
      if (lateMs > PATIENCE_MS || !storage.readNow?.(offset, into)) return false;
      lateMs += milliseconds() - start - into.length / CACHED_BYTES_PER_MS;
      return true;
    },
    giveWay() {
      if (milliseconds() - turn < TURN_MS) return undefined;
      return nextTurn().then(() => {
        turn = milliseconds();
      });
    },
  };
}

// Loading `performance` and `timers/promises` takes longer than reading many images.
function milliseconds(): number {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
