/**
 * Decompresses the data of one cluster by either qcow2 compression type.
 */
import { promisify } from 'node:util';
import type { Header } from '../../format/header.ts';
import { zstdFrameLength } from './zstd-frame.ts';

/**
 * @param stored the cluster's compressed data and the rest of its last sector
 * @returns a whole cluster
 * @throws Error that describes the fault in the data
 */
export async function decompressCluster(
  stored: Uint8Array,
  { compressionType, clusterSizeBytes }: Header,
): Promise<Uint8Array> {
  const decode = compressionType === 'zlib' ? decodeDeflate : decodeZstd;
  const bytes = await decode(stored, clusterSizeBytes);
  if (bytes.length !== clusterSizeBytes) {
    throw new Error(`it decompresses to ${bytes.length} bytes, a cluster has ${clusterSizeBytes}`);
  }
  return bytes;
}

/** QEMU compresses with a 4 KiB window but decompresses with any window. This code does the same. */
async function decodeDeflate(stored: Uint8Array, mostBytes: number): Promise<Uint8Array> {
  const { inflateRaw } = await import('node:zlib');
  return promisify(inflateRaw)(stored, { chunkSize: mostBytes, maxOutputLength: mostBytes });
}

type Decoder = (frame: Uint8Array, mostBytes: number) => Promise<Uint8Array>;

let loading: Promise<Decoder> | undefined;

/** @returns no bytes for broken data, or for data that decodes to more than `mostBytes` */
async function decodeZstd(stored: Uint8Array, mostBytes: number): Promise<Uint8Array> {
  const frame = stored.subarray(0, zstdFrameLength(stored));
  loading ??= loadZstd();
  const decode = await loading;
  return await decode(frame, mostBytes);
}

/** Node has its own, faster zstd from 22.15 on. */
async function loadZstd(): Promise<Decoder> {
  const zlib = await import('node:zlib');
  // The type definitions are those of the oldest supported Node.
  const { zstdDecompress } = zlib as { readonly zstdDecompress?: typeof zlib.inflateRaw };
  if (zstdDecompress !== undefined) {
    const decompress = promisify(zstdDecompress);
    return (frame, mostBytes) =>
      decompress(frame, { chunkSize: mostBytes, maxOutputLength: mostBytes }).catch(() => new Uint8Array());
  }
  const { ZSTDDecoder } = await import('zstddec');
  const decoder = new ZSTDDecoder();
  await decoder.init();
  return async (frame, mostBytes) => decoder.decode(frame, mostBytes);
}
