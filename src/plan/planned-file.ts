/**
 * A file with the content that planned steps will write. Further changes can be planned before the file
 * exists.
 */
import type { Storage } from '../storage/storage.ts';
import type { Step } from './plan.ts';

export function plannedFile(name: string, steps: readonly Step[]): Storage {
  const writes = steps.filter((step) => step.kind === 'write');
  const sizeBytes = writes.reduce((end, { offset, bytes }) => Math.max(end, offset + bytes.length), 0);
  const notYet = async () => {
    throw new Error(`${name} is only planned`);
  };
  return {
    name,
    sizeBytes,
    canGrow: true,
    async read(offset, into) {
      into.fill(0);
      for (const { offset: start, bytes } of writes) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + into.length, start + bytes.length);
        if (from < to) into.set(bytes.subarray(from - start, to - start), from - offset);
      }
    },
    write: notYet,
    flush: notYet,
    async close() {},
  };
}
