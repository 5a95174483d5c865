/**
 * Room in the header cluster, where header extensions and the backing file name share the space.
 */
import { alignUp } from '../bytes/align.ts';
import { RefusedError } from '../errors.ts';
import { headerStruct } from '../format/header.ts';
import type { Image } from '../image/image.ts';
import { type Step, writeHeader } from './plan.ts';

export const BACKING_FILE_OFFSET = headerStruct.byteOf('backingFileOffset');

/** Plans the move of the backing file name if it starts before `end`. */
export function moveBackingName(image: Image, end: number): { copy: Step; change: Step } | undefined {
  const { header, headerCluster } = image;
  const { backingFileOffset, backingFileSizeBytes, clusterSizeBytes } = header;
  if (backingFileOffset === 0 || backingFileOffset >= end) {
    if (end > clusterSizeBytes) throw noRoom(image, 'the header extensions fill it');
    return undefined;
  }
  const nameEnd = backingFileOffset + backingFileSizeBytes;
  const newOffset = alignUp(Math.max(end, nameEnd), 8);
  if (newOffset + backingFileSizeBytes > clusterSizeBytes) {
    throw noRoom(
      image,
      `the backing file name of ${backingFileSizeBytes} bytes is in the way and cannot be moved safely`,
    );
  }
  return {
    copy: writeHeader(
      newOffset,
      headerCluster.slice(backingFileOffset, nameEnd),
      'backing file name, a copy at its new place',
    ),
    change: writeHeader(
      BACKING_FILE_OFFSET,
      headerStruct.encodeField('backingFileOffset', newOffset),
      'backing_file_offset',
    ),
  };
}

export function noRoom({ storage, header }: Image, why: string): RefusedError {
  return new RefusedError(
    'NO_ROOM',
    `${storage.name}: no room for a bitmaps extension in the header cluster of ${header.clusterSizeBytes} bytes: ${why}`,
    {
      remedy: { kind: header.backingFileOffset === 0 ? 'enlarge-clusters' : 'shorten-backing-name' },
      context: { file: storage.name },
    },
  );
}
