/** Compressed clusters with real content: both methods, the smallest and largest cluster sizes, and broken data. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openChain } from '../../../../src/chain/chain.ts';
import { parseReference } from '../../../../src/chain/reference.ts';
import { guestOffset } from '../../../../src/format/addresses.ts';
import { clusterLookup } from '../../../../src/image/cluster-lookup.ts';
import { firstDifference, readGuestDisk } from '../../../support/guest-disk.ts';
import { compareImages, qemuImg } from '../../../support/qemu.ts';
import { type Random, randomCases, seededRandom } from '../../../support/random.ts';
import { scratchFolder } from '../../../support/scratch.ts';

const diskSize = 6 << 20;

/** A long file that is the same on all machines. */
const PROGRAM_TEXT = new URL('../../../../node_modules/typescript/lib/typescript.js', import.meta.url);

describe.each(['zlib', 'zstd'])('clusters compressed by %s', (method) => {
  for (const clusterSize of [512, 4096, 65536, 2 << 20]) {
    for (const { seed, again } of randomCases(1)) {
      test(`of ${clusterSize} bytes contain the original data (${again})`, async () => {
        const folder = await scratchFolder();
        const [raw, image] = [join(folder, 'disk.raw'), join(folder, 'disk.qcow2')];
        const content = await mixedContent(seededRandom(seed));
        await writeFile(raw, content);
        await compress(raw, image, method, clusterSize);
        expect(await compareImages(raw, image)).toMatchObject({ identical: true });
        expect(firstDifference(await readGuestDisk(image, 100 * 512), content)).toBeUndefined();
      });
    }
  }

  test('are refused if their data is broken', async () => {
    const folder = await scratchFolder();
    const [raw, image] = [join(folder, 'disk.raw'), join(folder, 'disk.qcow2')];
    await writeFile(raw, Buffer.alloc(65536, 'compressible '));
    await compress(raw, image, method, 65536);
    await overwriteCompressed(image, Buffer.alloc(16, 0xff));
    await expect(readGuestDisk(image)).rejects.toMatchObject({ code: 'INVALID_IMAGE' });
  });
});

/** Stretches of zeros, one byte, noise, program text, and noise with repeats far back. */
async function mixedContent(random: Random): Promise<Buffer> {
  const text = await readFile(PROGRAM_TEXT);
  const content = Buffer.alloc(diskSize);
  for (let at = 0; at < diskSize; ) {
    const length = Math.min(random.between(1, 400_000), diskSize - at);
    const part = content.subarray(at, at + length);
    switch (random.below(5)) {
      case 0:
        break;
      case 1:
        part.fill(random.below(256));
        break;
      case 2:
        for (let index = 0; index < length; index++) part[index] = random.below(256);
        break;
      case 3:
        text.copy(part, 0, random.below(text.length - length));
        break;
      default:
        for (let index = 0; index < length; index += 64) {
          content.copyWithin(at + index, random.below(at + index + 1), at + index + 64);
        }
    }
    at += length;
  }
  return content;
}

async function compress(raw: string, image: string, method: string, clusterSize: number): Promise<void> {
  const options = `compression_type=${method},cluster_size=${clusterSize}`;
  await qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, raw, image);
}

async function overwriteCompressed(path: string, bytes: Uint8Array): Promise<void> {
  const chain = await openChain(parseReference(path, 'qcow2'), { mode: 'read', locking: 'lock' });
  const { top } = chain;
  if (top.format !== 'qcow2') throw new Error('not qcow2');
  const cluster = await (await clusterLookup(top.image)).find(guestOffset(0));
  await chain.close();
  if (cluster.kind !== 'compressed') throw new Error(`cluster is ${cluster.kind}`);
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, cluster.hostOffset);
  await file.close();
}
