/** Headers: a sound one is read, and each broken rule is refused with a message that names it. */
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/format/format-error.ts';
import { parseHeader, subclusterSizeBytes, subclustersPerCluster } from '../../../src/format/header.ts';
import { type HeaderFields, parsedHeader, storedHeader } from './stored-header.ts';

describe('a sound header', () => {
  test('of version 3 is read field by field', () => {
    const header = parsedHeader({
      size: 2 ** 30,
      l1_size: 7,
      crypt_method: 2,
      nb_snapshots: 3,
      snapshots_offset: 0x90000,
      backing_file_offset: 0x300,
      backing_file_size: 11,
      compatible_features: 1,
      autoclear_features: (1n << 63n) | 1n,
      refcount_order: 6,
      header_length: 112,
      incompatible_features: 0b1011,
      compression_type: 1,
    });
    expect(header).toMatchObject({
      version: 3,
      headerLengthBytes: 112,
      virtualSizeBytes: 2 ** 30,
      clusterBits: 16,
      clusterSizeBytes: 65536,
      cryptMethod: 'luks',
      compressionType: 'zstd',
      backingFileOffset: 0x300,
      backingFileSizeBytes: 11,
      l1EntryCount: 7,
      l1TableOffset: 0x30000,
      refcountTableOffset: 0x10000,
      refcountTableClusters: 1,
      refcountOrder: 6,
      snapshotCount: 3,
      snapshotsOffset: 0x90000,
      incompatibleFeatures: 0b1011n,
      compatibleFeatures: 1n,
      autoclearFeatures: (1n << 63n) | 1n,
      hasExtendedL2: false,
      hasDataFile: false,
    });
  });

  test('of version 2 has fixed values for the fields of version 3, whatever is stored there', () => {
    const bytes = storedHeader({ version: 2 });
    bytes.fill(0xee, 72, 200);
    expect(parseHeader(bytes)).toMatchObject({
      version: 2,
      headerLengthBytes: 72,
      refcountOrder: 4,
      incompatibleFeatures: 0n,
      autoclearFeatures: 0n,
      compressionType: 'zlib',
      hasExtendedL2: false,
      hasDataFile: false,
    });
  });

  test('of 104 bytes has no compression type, whatever follows it', () => {
    expect(parsedHeader({ compression_type: 1 }).compressionType).toBe('zlib');
  });

  test('of a disk with a size that is not a multiple of 512 bytes counts whole sectors, as QEMU does', () => {
    expect(parsedHeader({ size: 1000 }).virtualSizeBytes).toBe(512);
    expect(parsedHeader({ size: 0, l1_size: 0 }).virtualSizeBytes).toBe(0);
  });

  test.each<[string, HeaderFields]>([
    ['an L1 table of 32 MiB', { l1_size: 2 ** 22 }],
    ['an L1 table of just the entries that the disk needs', { size: 2 ** 30, l1_size: 2 }],
    ['a refcount table of 8 MiB', { refcount_table_clusters: 128 }],
    ['65536 snapshots', { nb_snapshots: 65536, snapshots_offset: 0x50000 }],
    ['refcounts of 1 bit', { refcount_order: 0 }],
    ['refcounts of 64 bits', { refcount_order: 6 }],
    ['a header that fills the first cluster', { header_length: 65536 }],
    ['a backing file name of 1023 bytes', { backing_file_offset: 512, backing_file_size: 1023 }],
    [
      'a backing file name up to the end of the first cluster',
      { backing_file_offset: 65530, backing_file_size: 6 },
    ],
    ['an empty backing file name behind the first cluster', { backing_file_offset: 65536 }],
  ])('may have %s', (_, changes) => {
    expect(parsedHeader(changes)).toMatchObject({ version: 3 });
  });

  test('without a backing file has no length of its name, whatever is stored there', () => {
    expect(parsedHeader({ backing_file_size: 2000 })).toMatchObject({
      backingFileOffset: 0,
      backingFileSizeBytes: 0,
    });
  });

  test.each([9, 21])('may have clusters of 2^%i bytes', (clusterBits) => {
    expect(parsedHeader({ cluster_bits: clusterBits }).clusterSizeBytes).toBe(2 ** clusterBits);
  });

  test('with extended L2 entries has 32 subclusters in a cluster', () => {
    const header = parsedHeader({ incompatible_features: 1n << 4n, cluster_bits: 14 });
    expect([subclustersPerCluster(header), subclusterSizeBytes(header)]).toEqual([32, 512]);
    expect(subclusterSizeBytes(parsedHeader())).toBe(65536);
  });
});

const beyond = 1n << 53n;

describe('a header is refused', () => {
  test.each<[string, HeaderFields, string]>([
    [
      'without the magic bytes',
      { magic: 0x514649fa },
      'not a qcow2 image (the magic bytes "QFI\\xfb" are missing)',
    ],
    ['of version 1', { version: 1 }, 'header: version is 1, must be 2 or 3'],
    ['of version 4', { version: 4 }, 'header: version is 4, must be 2 or 3'],
    ['with clusters of 256 bytes', { cluster_bits: 8 }, 'header: cluster_bits is 8, must be 9…21'],
    ['with clusters of 4 MiB', { cluster_bits: 22 }, 'header: cluster_bits is 22, must be 9…21'],
    [
      'with absurd clusters',
      { cluster_bits: 0xffffffff },
      'header: cluster_bits is 4294967295, must be 9…21',
    ],
    [
      'with extended L2 entries in small clusters',
      { cluster_bits: 13, incompatible_features: 1n << 4n },
      'header: cluster_bits is 13, must be 14…21 with extended L2 entries',
    ],
    ['of 96 bytes', { header_length: 96 }, 'header: header_length is 96, must be 104…65536'],
    ['longer than a cluster', { header_length: 65544 }, 'header: header_length is 65544, must be 104…65536'],
    ['of 108 bytes', { header_length: 108 }, 'header: header_length is 108, must be a multiple of 8'],
    ['with refcounts of 128 bits', { refcount_order: 7 }, 'header: refcount_order is 7, must be 0…6'],
    [
      'with an unknown encryption',
      { crypt_method: 3 },
      'header: crypt_method is 3, must be 0 (none), 1 (AES) or 2 (LUKS)',
    ],
    [
      'with an unknown compression',
      { header_length: 112, compression_type: 2 },
      'header: compression_type is 2, must be 0 (zlib) or 1 (zstd)',
    ],
    [
      'with zstd and without its bit',
      { header_length: 112, compression_type: 1 },
      'header: compression_type is zstd but the "compression type" bit is clear',
    ],
    [
      'with the bit and zlib',
      { header_length: 112, incompatible_features: 1n << 3n },
      'header: compression_type is zlib but the "compression type" bit is set',
    ],
    [
      'with an L1 table above 32 MiB',
      { l1_size: 2 ** 22 + 1 },
      'header: l1_table has 33554440 bytes, must be at most 33554432',
    ],
    [
      'with an unaligned L1 table',
      { l1_table_offset: 0x30200 },
      'header: l1_table_offset is 0x30200, must be a multiple of the cluster size',
    ],
    [
      'with too short an L1 table',
      { size: 2 ** 30, l1_size: 1 },
      'header: l1_size is 1, must be at least 2 for a disk of 1073741824 bytes',
    ],
    [
      'with an unaligned refcount table',
      { refcount_table_offset: 0x10100 },
      'header: refcount_table_offset is 0x10100, must be a multiple of the cluster size',
    ],
    [
      'with a refcount table above 8 MiB',
      { refcount_table_clusters: 129 },
      'header: refcount_table has 8454144 bytes, must be at most 8388608',
    ],
    [
      'without a refcount table',
      { refcount_table_clusters: 0 },
      'header: refcount_table_clusters is 0, must be at least 1',
    ],
    [
      'with too many snapshots',
      { nb_snapshots: 65537 },
      'header: nb_snapshots is 65537, must be at most 65536',
    ],
    [
      'with an unaligned snapshot table',
      { nb_snapshots: 1, snapshots_offset: 0x50200 },
      'header: snapshots_offset is 0x50200, must be a multiple of the cluster size',
    ],
    [
      'with a backing file name outside the first cluster',
      { backing_file_offset: 65537, backing_file_size: 1 },
      'header: backing_file_offset is 0x10001, must be inside the first cluster',
    ],
    [
      'with a backing file name of 1024 bytes',
      { backing_file_offset: 512, backing_file_size: 1024 },
      'header: backing_file_size is 1024, must be at most 1023',
    ],
    [
      'with such a name at byte 1',
      { backing_file_offset: 1, backing_file_size: 1024 },
      'header: backing_file_size is 1024, must be at most 1023',
    ],
    [
      'with a backing file name that leaves the first cluster',
      { backing_file_offset: 65530, backing_file_size: 7 },
      'header: backing_file_size is 7, must be at most 6',
    ],
    ['of a disk beyond 2^53', { size: beyond, l1_size: 1 }, 'header: size is 0x20000000000000, beyond 2^53'],
    [
      'with an L1 table beyond 2^53',
      { l1_table_offset: beyond },
      'header: l1TableOffset is 0x20000000000000, beyond 2^53',
    ],
  ])('%s', (_, changes, complaint) => {
    const bytes = storedHeader(changes);
    expect(() => parseHeader(bytes)).toThrow(FormatError);
    expect(() => parseHeader(bytes)).toThrow(expect.objectContaining({ message: complaint }));
  });

  test.each<[string, HeaderFields]>([
    ['another version', { version: 4 }],
    ['an unknown encryption', { crypt_method: 3 }],
    ['an unknown compression', { header_length: 112, compression_type: 2 }],
    ['a disk beyond 2^53', { size: beyond, l1_size: 1 }],
  ])('as unsupported and not as invalid for %s', (_, changes) => {
    expect(() => parseHeader(storedHeader(changes))).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED' }),
    );
  });
});
