/** Files are read and written completely. One that has become shorter must not be read as zeros. */
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openFile } from '../../../src/storage/file.ts';
import { readBytes } from '../../../src/storage/storage.ts';
import { scratchFolder } from '../../support/scratch.ts';

const LENGTH = 10_000;

test('a file reads as zeros after its end', async () => {
  const file = await openFile(await oldFile(), 'read', async () => {});
  const bytes = await readBytes(file, LENGTH - 3, 6);
  await file.close();
  expect([...bytes]).toEqual([7, 7, 7, 0, 0, 0]);
});

test('parts are written one after the other, and make the file longer', async () => {
  const path = await oldFile();
  const file = await openFile(path, 'write', async () => {});
  await file.write(LENGTH - 2, Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3), Uint8Array.of(4));
  expect(file.sizeBytes).toBe(LENGTH + 2);
  await file.write(0, Uint8Array.of(5));
  expect(file.sizeBytes).toBe(LENGTH + 2);
  await file.close();
  const bytes = await readFile(path);
  expect([bytes[0], bytes[1], ...bytes.subarray(LENGTH - 3)]).toEqual([5, 7, 7, 1, 2, 3, 4]);
});

test.each([
  ['in the midst of what is read', 5000, 'could not read 2000 bytes at 4000: the file ends after 1000'],
  ['before what is read', 100, 'could not read 2000 bytes at 4000: the file ends after 0'],
])('a file that now ends %s is not read further', async (_, newLength, message) => {
  const path = await oldFile();
  const file = await openFile(path, 'read', async () => {});
  await truncate(path, newLength);
  const reading = readBytes(file, 4000, 2000);
  await expect(reading).rejects.toMatchObject({
    code: 'IO_ERROR',
    message: expect.stringContaining(message),
  });
  await file.close();
});

async function oldFile(): Promise<string> {
  const path = join(await scratchFolder(), 'file');
  await writeFile(path, Buffer.alloc(LENGTH, 7));
  return path;
}
