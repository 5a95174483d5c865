/**
 * Finds the data in a sparse file. A raw image has no other allocation map.
 */
import { fstatSync } from 'node:fs';
import type { Span } from '../bytes/range.ts';
import { findNative, type Native } from './native.ts';

/**
 * The data within [`startBytes`, `endBytes`) of the file open as `fd`, in order, as lseek(2) SEEK_DATA and
 * SEEK_HOLE report it. All other bytes, and all bytes past the end of the file, read as zeros. The ranges are
 * looked up during the iteration.
 * Undefined if the platform or the file system does not support it. Then every byte may be data.
 *
 * Moves the file position of `fd`: read with explicit offsets.
 */
export async function dataRanges(
  fd: number,
  startBytes: number,
  endBytes: number,
): Promise<Iterable<Span> | undefined> {
  const native = await findNative();
  if (native === undefined) return undefined;
  try {
    native.seekHole(fd, startBytes);
  } catch {
    return undefined;
  }
  return { [Symbol.iterator]: () => walk(native, fd, startBytes, endBytes) };
}

function* walk(native: Native, fd: number, startBytes: number, endBytes: number): Generator<Span> {
  let position = startBytes;
  while (position < endBytes) {
    const found = nextData(native, fd, position);
    // It is always safe to treat it as data. If the device fails, the read reports a better error.
    if (found === 'unknown') {
      yield { start: position, end: endBytes };
      return;
    }
    if (found === 'none' || found.start >= endBytes) return;
    yield { start: found.start, end: Math.min(found.end, endBytes) };
    position = found.end;
  }
}

function nextData(native: Native, fd: number, position: number): Span | 'none' | 'unknown' {
  try {
    const start = native.seekData(fd, position);
    if (start === undefined) return 'none';
    const end = native.seekHole(fd, start);
    // Without progress, the file system has a bug, or the file was truncated in the meantime.
    return end !== undefined && start >= position && end > start ? { start, end } : 'unknown';
  } catch {
    return 'unknown';
  }
}

/** A part of a file that is data or a hole as a whole. */
export type FileStretch = Span & { readonly isData: boolean };

/** The stretch at an offset. It may begin at that offset, or before. */
export type FileStretchAt = (offset: number) => FileStretch;

/**
 * Looks up offsets in any order. It caches the last stretch, because the next offset is usually near.
 * Undefined if the platform does not support it. Moves the file position of `fd`.
 */
export async function fileStretches(fd: number): Promise<FileStretchAt | undefined> {
  const native = await findNative();
  if (native === undefined) return undefined;
  let last: FileStretch = { start: 0, end: 0, isData: true };
  return (offset) => {
    if (offset < last.start || offset >= last.end) last = stretchAt(native, fd, offset);
    return last;
  };
}

function stretchAt(native: Native, fd: number, start: number): FileStretch {
  const found = nextData(native, fd, start);
  if (found === 'none' || found === 'unknown') {
    return { start, end: Number.POSITIVE_INFINITY, isData: found === 'unknown' };
  }
  return found.start > start
    ? { start, end: found.start, isData: false }
    : { start, end: found.end, isData: true };
}

/** Bytes that the file occupies on its file system. */
export function bytesOnDisk(fd: number): number {
  // st_blocks counts units of 512 bytes, independent of the block size.
  return fstatSync(fd).blocks * 512;
}
