/**
 * The port through which everything else reads and writes an image file.
 */

/**
 * The largest write that a power cut cannot split. A device stores a single sector completely or not at all.
 */
export const SECTOR_BYTES = 512;

export interface Storage {
  /** The name in messages. */
  readonly name: string;
  /** Current length in bytes. If `canGrow`, writes past the end increase it. */
  readonly sizeBytes: number;
  /** False for a block device, whose end is fixed. */
  readonly canGrow: boolean;
  /** Fills `into` from `offset`. Bytes past the end read as zeros, as they do for QEMU. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /**
   * Optional. Fills `into` before it returns, with one call. For data in the page cache, this is faster than
   * a read through another thread.
   * Returns false if it could not read all bytes. Then `read` reads them or reports the error.
   */
  readNow?(offset: number, into: Uint8Array): boolean;
  /** Writes all of `parts` one after the other, the first at `offset`. */
  write(offset: number, ...parts: readonly Uint8Array[]): Promise<void>;
  /** Returns once everything written is on stable storage. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Reads `lengthBytes` at `offset` into a new array. */
export async function readBytes(storage: Storage, offset: number, lengthBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  await storage.read(offset, bytes);
  return bytes;
}

/** A longer read costs more than the way through another thread. */
const SHORT_BYTES = 256 * 1024;

/**
 * Like `readBytes`, for single structures of an image: from the page cache, short ones are read before it
 * returns.
 */
export async function readStructure(
  storage: Storage,
  offset: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  const isRead = lengthBytes <= SHORT_BYTES && storage.readNow?.(offset, bytes);
  if (!isRead) await storage.read(offset, bytes);
  return bytes;
}
