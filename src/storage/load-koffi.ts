/**
 * Loads koffi, an optional package, or says why it cannot be loaded and what helps.
 */
import { readFileSync } from 'node:fs';
import { arch } from 'node:os';
import type { Remedy } from '../remedy.ts';

/** The version in package.json. */
export const KOFFI_VERSION = '3.3.4';

/** The message is the reason why this process cannot make the system calls that Node lacks. */
export class NoNativeError extends Error {
  readonly remedy: Remedy;

  constructor(message: string, remedy: Remedy, cause?: unknown) {
    super(message, { cause });
    this.remedy = remedy;
  }
}

type Koffi = Pick<typeof import('koffi'), 'load' | 'errno' | 'version'>;

/**
 * Loads only koffi's binary where that is possible, because koffi's JavaScript takes more time to load.
 *
 * @throws NoNativeError
 */
export async function loadKoffi(): Promise<Koffi> {
  const binaryPackage = `@koromix/koffi-linux-${arch()}`;
  const found = findBinary(binaryPackage);
  if (found?.version === KOFFI_VERSION) return found;
  let failure: unknown;
  try {
    const { default: binary } = await import(binaryPackage);
    if (binary.version === KOFFI_VERSION) return binary;
  } catch (error) {
    failure = error;
  }
  try {
    return await import('koffi');
  } catch (error) {
    if (error instanceof NoNativeError) throw error;
    // koffi does not pass on why the binary failed.
    throw koffiError(failure === undefined || isNotFound(failure) ? error : failure);
  }
}

/**
 * The binary for the libc of this process. Its package would read the file of Node to find out which one that
 * is.
 *
 * @returns undefined where it fails. Only built files have require().
 */
function findBinary(binaryPackage: string): Koffi | undefined {
  if (typeof require !== 'function') return undefined;
  try {
    const maps = readFileSync('/proc/self/maps', 'latin1');
    const libc = /\/libc(\.so\.6|-2\.)/.test(maps)
      ? 'linux'
      : maps.includes('/ld-musl-')
        ? 'musl'
        : undefined;
    return libc && require(`${binaryPackage}/${libc}_${arch()}/koffi.node`);
  } catch {
    return undefined;
  }
}

function koffiError(cause: unknown): NoNativeError {
  const [reason] = (cause as Error).message.split('\n');
  const message = isNotFound(cause)
    ? 'the optional package koffi is not installed'
    : `the package koffi does not load: ${reason}`;
  return new NoNativeError(message, { kind: 'install-koffi' }, cause);
}

function isNotFound(error: unknown): boolean {
  // import() and require() have different codes.
  return /^(ERR_)?MODULE_NOT_FOUND$/.test((error as NodeJS.ErrnoException).code ?? '');
}
