// An image in an OCI layout directory, as source and as destination of a copy.
import { type BlobFolder, refName, rootOfFolder } from '../transport/blob-folder.js';
import { addToLayout } from '../transport/layout-export.js';
import { openLayout } from '../transport/layout-import.js';
import type { ImageDestination, ImageSource } from './image-source.js';
import { skipping, writeBlobAt } from './write-blob.js';

/** @throws StoreError LAYOUT_NOT_FOUND, LAYOUT_INVALID, LAYOUT_TAG_UNKNOWN, LAYOUT_TAG_NEEDED */
export async function openLayoutSource(dir: string, tag: string | undefined): Promise<ImageSource> {
  return folderSource(await openLayout(dir), tag);
}

/** The same for a layout in an archive. */
export function folderSource(folder: BlobFolder, tag: string | undefined): ImageSource {
  return {
    name: tag === undefined ? folder.name : `${folder.name}:${tag}`,
    root: () => rootOfFolder(folder, tag),
    readDocument: (wanted) => folder.readDocument(wanted),
    openBlob: (blob, start = 0) => (start === 0 ? folder.open(blob) : skipping(folder.open(blob), start)),
    repositoriesAt: () => [],
    close: async () => {},
  };
}

/** An existing layout gains the image; one that has the tag loses it. */
export function layoutDestination(dir: string, tag: string | undefined): ImageDestination {
  return {
    name: tag === undefined ? dir : `${dir}:${tag}`,
    holdsIndexes: true,
    wantsCompressed: false,
    async write({ root, documents, blobs }, source, { onProgress, signal }) {
      const { descriptor } = root;
      await addToLayout(dir, {
        blobs,
        documents: [...documents, root].map(({ bytes }) => bytes),
        entry: tag === undefined ? descriptor : { ...descriptor, annotations: { [refName]: tag } },
        async writeBlob(file, blob) {
          await writeBlobAt(file, 0, source.openBlob(blob), blob, source.name, (doneBytes) =>
            onProgress?.({ digest: blob.digest, state: 'receiving', doneBytes, totalBytes: blob.size }),
          );
        },
        onProgress,
        signal,
      });
    },
  };
}
