/**
 * The options with which QEMU reopens an image for writing, and read-only again.
 */
import { RefusedError } from '../errors.ts';
import type { ImageNode } from './block-nodes.ts';
import type { BlockdevOptions } from './blockdev-options.ts';
import type { ImageOptions } from './known-options.ts';
import type { QmpError } from './qmp.ts';

export interface Reopening {
  readonly writable: readonly BlockdevOptions[];
  readonly readOnly: readonly BlockdevOptions[];
}

export function optionsToReopen(node: ImageNode, known: ImageOptions | undefined): Reopening {
  if (known === undefined || node.file === undefined) {
    throw cannotWrite(node, 'with which options QEMU has it open is not known for certain');
  }
  const { format, file } = known;
  const same =
    format['driver'] === node.driver &&
    file['driver'] === node.file.driver &&
    isAsKnown(node.options, format) &&
    isAsKnown(node.file.options, file);
  if (!same) throw cannotWrite(node, 'QEMU has it open with other options than it was given');
  // A commit may have replaced its backing image. A filter above that must stay.
  const backing = node.backingChild ?? null;
  const formatAs = (isReadOnly: boolean) => ({ ...format, backing, 'read-only': isReadOnly });
  const files = file['read-only'] === true ? [file] : [];
  return {
    writable: [...files.map((options) => ({ ...options, 'read-only': false })), formatAs(false)],
    readOnly: [formatAs(true), ...files],
  };
}

/** Whether a node still has its options, as far as QEMU reports them. */
function isAsKnown(now: ImageNode['options'], known: BlockdevOptions): boolean {
  const cache = (known['cache'] ?? {}) as Readonly<Record<string, unknown>>;
  return (
    now.cacheDirect === (cache['direct'] ?? false) &&
    now.cacheNoFlush === (cache['no-flush'] ?? false) &&
    now.detectZeroes === (known['detect-zeroes'] ?? 'off')
  );
}

export function cannotWrite({ path }: ImageNode, what: string, cause?: QmpError): RefusedError {
  return new RefusedError(
    'UNSUPPORTED',
    `${path}: its bitmaps cannot be changed: ${what}; nothing was changed`,
    {
      remedy: { kind: 'shut-down-to-write' },
      context: { file: path },
      cause,
    },
  );
}
