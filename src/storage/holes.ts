/**
 * Which parts of a sparse file hold data: what a raw image has instead of an allocation table.
 */
import { fstatSync } from 'node:fs';
import type { Span } from '../bytes/range.ts';
import { loadNative, type Native } from './native.ts';

/**
 * The data within [`startBytes`, `endBytes`) of the file open as `fd`, in order, as lseek(2) SEEK_DATA and SEEK_HOLE
 * tell it; the rest reads as zeros, and so does what is past the end of the file. Looked up while one iterates.
 * Undefined where the platform or the file system cannot tell: then everything may be data.
 *
 * Moves the file position of `fd`: read with explicit offsets.
 */
export async function dataRanges(
  fd: number,
  startBytes: number,
  endBytes: number,
): Promise<Iterable<Span> | undefined> {
  const native = await loadNative();
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
    // Reading what may be data is always right; a failing device will say so better then.
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
    // An answer that does not move on is a file system's fault, or the file was cut meanwhile.
    return end !== undefined && start >= position && end > start ? { start, end } : 'unknown';
  } catch {
    return 'unknown';
  }
}

/** Tells what the file keeps at an offset, and up to where that goes on. */
export type StretchAt = (offset: number) => { readonly end: number; readonly isData: boolean };

/**
 * For offsets in any order; the last answer is kept, since neighbours are asked for next. Undefined where the platform
 * cannot tell. Moves the file position of `fd`.
 */
export async function openStretches(fd: number): Promise<StretchAt | undefined> {
  const native = await loadNative();
  if (native === undefined) return undefined;
  let last = { start: 0, end: 0, isData: true };
  return (offset) => {
    if (offset < last.start || offset >= last.end) last = stretchAt(native, fd, offset);
    return last;
  };
}

function stretchAt(native: Native, fd: number, start: number): Span & { readonly isData: boolean } {
  const found = nextData(native, fd, start);
  if (found === 'none' || found === 'unknown') {
    return { start, end: Number.POSITIVE_INFINITY, isData: found === 'unknown' };
  }
  return found.start > start
    ? { start, end: found.start, isData: false }
    : { start, end: found.end, isData: true };
}

/** How much room the file takes on its file system, in bytes. */
export function bytesOnDisk(fd: number): number {
  // st_blocks counts in 512 bytes, whatever the block size is.
  return fstatSync(fd).blocks * 512;
}
