/**
 * Reads a metadata context of an NBD export with libnbd's nbdinfo.
 */
import { FailedError } from '../errors.ts';
import { mapLineParser } from './map-lines.ts';

export interface NbdExtent {
  readonly offset: number;
  readonly length: number;
  /** The value in the context: a depth, or flags. */
  readonly type: number;
}

/**
 * Visits all extents in order. Together they cover the whole disk.
 *
 * @throws FailedError when nbdinfo is not installed, fails, or prints unexpected output
 */
export async function visitNbdMap(
  socket: string,
  exportName: string,
  context: string,
  virtualSizeBytes: number,
  signal: AbortSignal | undefined,
  visit: (extent: NbdExtent) => void,
): Promise<void> {
  const { execa } = await import('./execa.ts');
  const uri = `nbd+unix:///${encodeURIComponent(exportName)}?socket=${encodeURIComponent(socket)}`;
  const nbdinfo = execa('nbdinfo', [`--map=${context}`, uri], {
    buffer: { stdout: false },
    stdin: 'ignore',
    reject: false,
    env: { LC_ALL: 'C' },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  let end = 0;
  const lines = mapLineParser((offset, length, type) => {
    // A gap would count as clean.
    if (offset !== end || length === 0)
      throw new SyntaxError(`an extent of ${length} bytes at ${offset}, after ${end}`);
    end += length;
    visit({ offset, length, type });
  });
  try {
    for await (const bytes of nbdinfo.stdout as AsyncIterable<Uint8Array>) lines.push(bytes);
    lines.end();
  } catch (error) {
    nbdinfo.kill();
    await nbdinfo;
    signal?.throwIfAborted();
    if (!(error instanceof SyntaxError)) throw error;
    throw new FailedError('IO_ERROR', `nbdinfo --map=${context} prints what is no map: ${error.message}`, {
      cause: error,
    });
  }
  const result = await nbdinfo;
  signal?.throwIfAborted();
  if (result.code === 'ENOENT') {
    throw new FailedError(
      'FILE_NOT_FOUND',
      'nbdinfo is not installed: it reads from a running QEMU what an image holds',
      {
        remedy: { kind: 'install-libnbd' },
      },
    );
  }
  if (result.failed || end !== virtualSizeBytes) {
    const said = result.stderr === '' ? `it ended at ${end} of ${virtualSizeBytes}` : result.stderr;
    throw new FailedError('IO_ERROR', `nbdinfo --map=${context}: ${said}`);
  }
}
