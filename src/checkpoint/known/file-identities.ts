/**
 * Detects paths that name the same file.
 */
import { BitmapToolError } from '../../errors.ts';
import { fileIdentity } from '../../storage/file.ts';

export type IdentityOf = (path: string) => Promise<string>;

/** Asks the file system once for each path. A path that does not exist equals no other path. */
export function fileIdentities(): IdentityOf {
  const asked = new Map<string, Promise<string>>();
  return (path) => {
    const known = asked.get(path) ?? identityIfThere(path);
    asked.set(path, known);
    return known;
  };
}

const MISSING = 'missing ';

export function isMissing(identity: string): boolean {
  return identity.startsWith(MISSING);
}

async function identityIfThere(path: string): Promise<string> {
  try {
    return await fileIdentity(path);
  } catch (error) {
    if (!(error instanceof BitmapToolError)) throw error;
    return `${MISSING}${path}`;
  }
}
