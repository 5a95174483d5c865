/**
 * Reads a metadata context of an NBD export, by nbdinfo of libnbd.
 */
import { FailedError } from '../errors.ts';

export interface NbdExtent {
  readonly offset: number;
  readonly length: number;
  /** The value in the context: a depth, or flags. */
  readonly type: number;
}

/** A line of `nbdinfo --map`: offset, length, type, and a description where the context has one. */
const LINE = /^ *(\d+) +(\d+) +(\d+)(?: .*)?$/;

/**
 * Visits the extents in their order; they cover the whole disk.
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
  const take = (line: string) => {
    const [, offset, length, type] = LINE.exec(line) ?? [];
    const extent = { offset: Number(offset), length: Number(length), type: Number(type) };
    // A gap would be taken for clean.
    if (extent.offset !== end || !(extent.length > 0)) {
      throw new FailedError(
        'IO_ERROR',
        `nbdinfo: the line "${line.slice(0, 100)}" is not what comes at ${end}`,
      );
    }
    end += extent.length;
    visit(extent);
  };
  try {
    let rest = '';
    nbdinfo.stdout.setEncoding('utf8');
    for await (const text of nbdinfo.stdout as AsyncIterable<string>) {
      const lines = `${rest}${text}`.split('\n');
      rest = lines.pop()!;
      for (const line of lines) take(line);
    }
    if (rest !== '') take(rest);
  } catch (error) {
    nbdinfo.kill();
    await nbdinfo;
    signal?.throwIfAborted();
    throw error;
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
