/**
 * Decompresses the data of one cluster, in the two ways that qcow2 knows.
 */
import { promisify } from 'node:util';
import type { Header } from '../../format/header.ts';
import { zstdFrameLength } from './zstd-frame.ts';

/**
 * @param stored the cluster's compressed data, and whatever follows it in its last sector
 * @returns a whole cluster
 * @throws Error saying what is wrong with the data
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

/** QEMU compresses with a window of 4 KiB, but takes any when it decompresses, and so does this. */
async function decodeDeflate(stored: Uint8Array, mostBytes: number): Promise<Uint8Array> {
  const { inflateRaw } = await import('node:zlib');
  return promisify(inflateRaw)(stored, { chunkSize: mostBytes, maxOutputLength: mostBytes });
}

type Decoder = (frame: Uint8Array, mostBytes: number) => Promise<Uint8Array>;

let loading: Promise<Decoder> | undefined;

/** @returns nothing for broken data, and for data that decodes to more than `mostBytes` */
async function decodeZstd(stored: Uint8Array, mostBytes: number): Promise<Uint8Array> {
  const frame = stored.subarray(0, zstdFrameLength(stored));
  loading ??= loadZstd();
  const decode = await loading;
  return await decode(frame, mostBytes);
}

/** Node has zstd from 22.15 on, which is faster. */
async function loadZstd(): Promise<Decoder> {
  const zlib = await import('node:zlib');
  // The types are those of the oldest Node that is supported.
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
