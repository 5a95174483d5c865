/** Detects any change of a file. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** A digest of the contents of a file. */
export async function digest(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
