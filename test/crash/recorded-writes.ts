/** What an operation does to a file, as it reaches the operating system: every write and flush in its order. */
import { open } from 'node:fs/promises';
import { flush, type Step, write } from '../../src/image/plan.ts';

/** Listens at Node's file handles; only one file may be written meanwhile. */
export async function recordWrites(work: () => Promise<unknown>): Promise<Step[]> {
  const handle = await open('/dev/null');
  const handles = Object.getPrototypeOf(handle);
  await handle.close();
  const { write: writeBytes, datasync } = handles;
  const steps: Step[] = [];
  handles.write = function (bytes: Uint8Array, from: number, length: number, offset: number) {
    steps.push(write(offset, Uint8Array.from(bytes.subarray(from, from + length)), `write ${steps.length}`));
    return writeBytes.call(this, bytes, from, length, offset);
  };
  handles.datasync = function () {
    steps.push(flush(`flush ${steps.length}`));
    return datasync.call(this);
  };
  try {
    await work();
  } finally {
    Object.assign(handles, { write: writeBytes, datasync });
  }
  return steps;
}
