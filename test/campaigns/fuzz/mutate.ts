/** Breaks an image, mostly in ways that its format suggests. */
import type { Random } from '../../support/random.ts';
import type { Landmark, Landmarks } from './landmarks.ts';

/** What text from an image may try on a terminal, a log or a path. */
const NASTY_TEXTS = [
  '\x1b[2J',
  '\n',
  '\r',
  '\x9b31m',
  '\u202e',
  '\0',
  '../',
  '/dev/',
  'json:{',
  'nbd:',
  '\xff\xfe',
];

export interface Mutant {
  readonly bytes: Buffer;
  /** What was done, for the report of a finding. */
  readonly story: readonly string[];
}

export function mutate(image: Buffer, landmarks: Landmarks, random: Random): Mutant {
  let bytes: Buffer = Buffer.from(image);
  const story: string[] = [];
  const structures = [...landmarks.keys()];
  const count = random.chance(0.6) ? 1 : random.between(2, 5);
  for (let round = 0; round < count; round++) {
    if (random.chance(0.85)) {
      const structure = random.pick(structures);
      const landmark = random.pick(landmarks.get(structure)!);
      if (landmark.offset + landmark.width > bytes.length) continue;
      const value = valueFor(bytes, landmark, landmarks, structure, random);
      put(bytes, landmark, value);
      story.push(`${structure} at 0x${landmark.offset.toString(16)}: 0x${value.toString(16)}`);
    } else {
      const plain = random.pick(PLAIN);
      bytes = plain(bytes, random, story);
    }
  }
  return { bytes, story };
}

function put(bytes: Buffer, { offset, width }: Landmark, value: bigint): void {
  if (width === 8) bytes.writeBigUInt64BE(value, offset);
  else bytes.writeUIntBE(Number(value), offset, width);
}

function get(bytes: Buffer, { offset, width }: Landmark): bigint {
  return width === 8 ? bytes.readBigUInt64BE(offset) : BigInt(bytes.readUIntBE(offset, width));
}

function valueFor(
  bytes: Buffer,
  landmark: Landmark,
  landmarks: Landmarks,
  structure: string,
  random: Random,
): bigint {
  const bits = landmark.width * 8;
  const old = get(bytes, landmark);
  const clusterBits = Math.min(bytes.length >= 24 ? bytes.readUInt32BE(20) : 16, 21);
  const choices: (() => bigint)[] = [
    () => 0n,
    () => 1n,
    () => 2n ** BigInt(bits) - 1n,
    () => 2n ** BigInt(bits - 1) - BigInt(random.below(2)),
    () => old + 1n,
    () => old - 1n,
    () => old ^ (1n << BigInt(random.below(bits))),
    () => old ^ (1n << BigInt(random.below(bits))) ^ (1n << BigInt(random.below(bits))),
    () => BigInt(random.below(256)),
    () => 1n << BigInt(random.below(bits)),
    // The value of a neighbour: two entries that name one thing.
    () => get(bytes, within(bytes, random.pick(landmarks.get(structure)!), landmark)),
    // Another structure's value, of any width.
    () =>
      get(bytes, within(bytes, random.pick(landmarks.get(random.pick([...landmarks.keys()]))!), landmark)),
  ];
  if (landmark.width === 8) {
    const cluster = (number: number) => BigInt(number) << BigInt(clusterBits);
    const clusters = Math.ceil(bytes.length / 2 ** clusterBits);
    const flags = () => random.pick([0n, 0n, 1n, 1n << 63n, 1n << 62n, 3n << 62n, 1n << 56n]);
    choices.push(
      // Any cluster of the file, the header among them, and those just beyond its end.
      () => cluster(random.below(clusters + 2)) | flags(),
      () => cluster(random.below(clusters)) | flags(),
      () => cluster(0) | flags(),
      () => (cluster(clusters) + cluster(random.below(4))) | flags(),
      () => ((2n ** BigInt(random.between(31, 63))) & ~(cluster(1) - 1n)) | flags(),
      () => cluster(random.below(clusters)) + 512n,
    );
  }
  if (landmark.width === 1 && structure.includes('name')) {
    choices.push(() => BigInt(random.pick([0x1b, 0x0a, 0x00, 0x9b, 0xff, 0x2f, 0x3a])));
  }
  return BigInt.asUintN(bits, random.pick(choices)());
}

/** The landmark if the image still has it, or else one that it surely has. */
function within(bytes: Buffer, landmark: Landmark, sure: Landmark): Landmark {
  return landmark.offset + landmark.width <= bytes.length ? landmark : sure;
}

type Plain = (bytes: Buffer, random: Random, story: string[]) => Buffer;

const PLAIN: readonly Plain[] = [
  function flipBytes(bytes, random, story) {
    for (let count = random.between(1, 16); count > 0; count--) {
      bytes[random.below(bytes.length)]! ^= random.between(1, 255);
    }
    story.push('flipped bytes');
    return bytes;
  },
  function fillSector(bytes, random, story) {
    const start = random.below(Math.ceil(bytes.length / 512)) * 512;
    bytes.fill(random.pick([0, 0xff, 0x41]), start, Math.min(start + 512, bytes.length));
    story.push(`filled the sector at 0x${start.toString(16)}`);
    return bytes;
  },
  function copySector(bytes, random, story) {
    const sectors = Math.ceil(bytes.length / 512);
    const [from, to] = [random.below(sectors) * 512, random.below(sectors) * 512];
    bytes.copy(bytes, to, from, from + 512);
    story.push(`copied the sector at 0x${from.toString(16)} to 0x${to.toString(16)}`);
    return bytes;
  },
  function cut(bytes, random, story) {
    const length = random.chance(0.5)
      ? random.below(bytes.length)
      : random.below(Math.min(bytes.length, 4096));
    story.push(`cut at 0x${length.toString(16)}`);
    // What is cut must leave a header to mutate further.
    return Buffer.from(bytes.subarray(0, Math.max(length, 128)));
  },
  function lengthen(bytes, random, story) {
    const more = random.pick([1, 511, 512, 4096, 65536]);
    story.push(`lengthened by ${more}`);
    return Buffer.concat([bytes, Buffer.alloc(more, random.pick([0, 0xff]))]);
  },
  function nastyText(bytes, random, story) {
    const text = Buffer.from(random.pick(NASTY_TEXTS), 'latin1');
    const at = random.below(Math.min(bytes.length, 8192));
    bytes.set(text.subarray(0, bytes.length - at), at);
    story.push(`text at 0x${at.toString(16)}`);
    return bytes;
  },
];
