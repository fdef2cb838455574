// Images of an index that came as a whole are kept as the compressed blobs that they are. Whoever wants to look into one, run
// it or build on it has layers made of these blobs, once.
import { createReadStream } from 'node:fs';
import { blobPath, findBlob, readBlob, recordCompression } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { importLayer } from '../content/import.js';
import { findLayer } from '../content/layer.js';
import type { Lease, StoredImage } from '../types.js';
import type { Descriptor, Digest, Platform } from '../words.js';
import { putManifest, readImage } from './images.js';
import { resolveImage } from './resolve.js';

/**
 * `readImage`, for images whose layers are packed too.
 *
 * @throws StoreError IMAGE_MISSING, LAYER_MISSING, IMAGE_INCOMPLETE, PLATFORM_NOT_IN_INDEX, PLATFORM_NEEDED; those of importLayer
 */
export async function unpackImage(
  store: Store,
  lease: Lease,
  digest: Digest,
  options: { readonly platform?: Platform | undefined } = {},
): Promise<StoredImage> {
  const size = findBlob(store, digest)?.size;
  if (size === undefined || store.database.image(digest) !== null) return readImage(store, digest, options);
  const root: Descriptor = { mediaType: '', digest, size };
  const { manifest, config, ...image } = await resolveImage(root, options.platform, digest, (wanted) =>
    readBlob(store, wanted.digest),
  );
  if (store.database.image(image.digest) !== null) return readImage(store, image.digest);
  for (const [i, diffId] of config.rootfs.diff_ids.entries()) {
    const blob = manifest.layers[i]!;
    if (findBlob(store, blob.digest) === null) continue;
    if (findLayer(store, diffId) !== null) {
      if (blob.digest !== diffId) recordCompression(store, diffId, blob);
      continue;
    }
    const bytes = createReadStream(blobPath(store, blob.digest), { highWaterMark: 1 << 20 });
    await importLayer(store, lease, bytes, { expectDiffId: diffId, blob });
  }
  return putManifest(store, lease, image.manifestBytes, image.configBytes);
}
