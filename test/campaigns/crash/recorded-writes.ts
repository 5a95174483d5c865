/**
 * Records the writes and flushes of an operation in the order in which they reach the operating system.
 *
 * A test that uses it mocks node:fs by recordingFs.
 */
import type * as fs from 'node:fs';
import { promisify } from 'node:util';
import { hostOffset } from '../../../src/format/addresses.ts';
import { flush, type Step, write } from '../../../src/plan/plan.ts';

let recorded: Step[] = [];

/** node:fs with ears at the two functions that change files; storage takes them promisified. */
export async function recordingFs(importOriginal: () => Promise<unknown>): Promise<typeof fs> {
  const original = (await importOriginal()) as typeof fs;
  const writeAt = promisify(original.writev);
  const datasync = promisify(original.fdatasync);
  const listening = {
    ...original,
    writev: promising((fd: number, parts: readonly Uint8Array[], offset: number) => {
      let at = offset;
      // A power cut may store any of the parts.
      for (const part of parts) {
        recorded.push(write(hostOffset(at), Uint8Array.from(part), `write ${recorded.length}`));
        at += part.length;
      }
      return writeAt(fd, parts, offset);
    }),
    fdatasync: promising((fd: number) => {
      recorded.push(flush(`flush ${recorded.length}`));
      return datasync(fd);
    }),
  };
  return Object.assign(listening, { default: listening }) as unknown as typeof fs;
}

/** A function of which only the promisified form is used. */
function promising(call: (...args: never[]) => Promise<unknown>): object {
  const callback = () => {
    throw new Error('not recorded');
  };
  return Object.assign(callback, { [promisify.custom]: call });
}

/** Only one file may be written meanwhile. */
export async function recordWrites(work: () => Promise<unknown>): Promise<Step[]> {
  recorded = [];
  await work();
  return recorded;
}
