/**
 * The port through which everything else reads and writes an image file.
 */

/** Largest write that survives a power cut whole: a device stores single sectors completely or not at all. */
export const SECTOR_BYTES = 512;

export interface Storage {
  /** How messages name it. */
  readonly name: string;
  /** Current length in bytes; grows with writes past the end where `canGrow`. */
  readonly sizeBytes: number;
  /** False for a block device, whose end is fixed. */
  readonly canGrow: boolean;
  /** Fills `into` from `offset`. Bytes past the end read as zeros, as they do for QEMU. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /**
   * Fills `into` before it returns, with one call: what the page cache has comes faster so than through other threads.
   * Returns false if not all bytes could be read; then `read` reads them or reports the error. Optional.
   */
  readNow?(offset: number, into: Uint8Array): boolean;
  /** Writes all of `bytes` at `offset`. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
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
