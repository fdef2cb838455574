// What an image says of itself, wherever it is: nothing but its documents is read.
import { parseImageDocument } from '../image/document.js';
import { type ResolvedImage, resolveImage } from '../image/resolve.js';
import type { ImageIndex, Platform } from '../words.js';
import type { Document, DocumentSource } from './image-source.js';

export interface InspectedImage {
  /** What the name stands for. */
  readonly root: Document;
  /** Null where the name stands for one image. */
  readonly index: ImageIndex | null;
  readonly image: ResolvedImage;
}

/**
 * @param platform which image of an index; a single one is shown whatever its platform
 * @throws StoreError PLATFORM_NOT_IN_INDEX, IMAGE_*, BLOB_*; those of the source
 */
export async function inspectImage(source: DocumentSource, platform: Platform): Promise<InspectedImage> {
  const root = await source.root();
  const document = parseImageDocument(root.bytes, `the manifest of ${source.name}`, root.descriptor.mediaType);
  const image = await resolveImage(root.descriptor, platform, source.name, async (wanted) =>
    wanted.digest === root.descriptor.digest ? root.bytes : source.readDocument(wanted),
  );
  return { root, index: document.kind === 'index' ? document.index : null, image };
}
