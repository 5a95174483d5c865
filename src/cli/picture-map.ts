/**
 * Draws a map from its extents as they arrive, and writes the picture file.
 */
import type { MapExtent } from '../guest/allocation/map-columns.ts';
import type { MappedImage } from '../operations/map-allocation.ts';
import type { MapPicture } from '../picture/map-picture.ts';

export interface MapDrawing {
  readonly onImage: (image: MappedImage) => void;
  add(extents: readonly MapExtent[]): void;
  write(): Promise<void>;
}

/** Loads the drawing code and checks the picture file before the work starts. */
export async function pictureMap(name: string, alone: boolean): Promise<MapDrawing> {
  const { openPictureFile } = await import('./picture-file.ts');
  const { newMapPicture } = await import('../picture/map-picture.ts');
  const file = await openPictureFile(name);
  const images: string[] = [];
  let picture: MapPicture | undefined;
  return {
    onImage({ image, depth, virtualSize, clusterSize }) {
      images.push(image);
      if (depth > 0) return;
      picture = newMapPicture({ image, virtualSize, granularity: clusterSize, alone });
    },
    add: (extents) => picture?.add(extents),
    async write() {
      if (picture !== undefined) await file.write(picture.svg(images));
    },
  };
}
