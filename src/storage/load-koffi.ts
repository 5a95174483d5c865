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

/**
 * Imports only the package with koffi's binary. If that fails, koffi itself finds the binary. That takes
 * longer, because koffi's JavaScript takes more time to load than the binary.
 *
 * @throws NoNativeError
 */
export async function loadKoffi(): Promise<Pick<typeof import('koffi'), 'load' | 'errno'>> {
  const binaryPackage = `@koromix/koffi-linux-${arch()}`;
  let failure: unknown;
  try {
    const binary = await loadBinary(binaryPackage);
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

async function loadBinary(binaryPackage: string): Promise<typeof import('koffi')> {
  // The built files have require(). The package itself would take longer: it reads the file of Node to find out its libc.
  if (typeof require === 'function') return require(`${binaryPackage}/${libc()}_${arch()}/koffi.node`);
  const { default: binary } = await import(binaryPackage);
  return binary;
}

/** The libc of this process, in the words of the package. */
function libc(): 'linux' | 'musl' {
  return readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-') ? 'musl' : 'linux';
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
