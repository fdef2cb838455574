// An image from one store into another.
import { createReadStream } from 'node:fs';
import { blobPath, findBlob, putBlob, recordCompression } from '../content/blob.js';
import { BufferPool } from '../content/buffers.js';
import type { Store } from '../content/handle.js';
import { putManifest, readConfigBytes, readImage, readManifestBytes, uncompressed } from '../image/images.js';
import { readIndex } from '../image/indexes.js';
import type { Lease, StoredImage } from '../types.js';
import type { Digest } from '../words.js';
import { verifiedPieces } from './compress.js';
import { prepareImage } from './outgoing.js';
import { type ReceiveOptions, receiveLayers } from './receive.js';

/**
 * Layers that `to` has are not read. Of an index everything comes, with the exact bytes that it names.
 *
 * @param from with a lease open where garbage may be collected meanwhile
 * @param lease of `to`
 * @throws StoreError IMAGE_MISSING, LAYER_MISSING, LAYER_DAMAGED
 */
export async function copyBetweenStores(
  from: Store,
  to: Store,
  lease: Lease,
  digest: Digest,
  options: ReceiveOptions = {},
): Promise<StoredImage> {
  const index = await readIndex(from, digest);
  if (index === null) return copyImage(from, to, lease, digest, options);
  for (const image of index.images) {
    await copyImage(from, to, lease, image.digest, options);
    const { layers } = await prepareImage(from, lease, image, null, options.onProgress);
    for (const { descriptor, path, diffId } of layers) {
      if (descriptor.digest === diffId || findBlob(to, descriptor.digest)) continue;
      await putBlob(to, lease, createReadStream(path, { highWaterMark: 1 << 20 }), descriptor);
      recordCompression(to, diffId, descriptor);
    }
  }
  for (const { bytes, blobs } of index.others) {
    for (const blob of blobs) await putBlob(to, lease, createReadStream(blobPath(from, blob.digest)), blob);
    await putBlob(to, lease, bytes);
  }
  await putBlob(to, lease, index.bytes);
  return readImage(to, digest, { platform: options.platform });
}

async function copyImage(
  from: Store,
  to: Store,
  lease: Lease,
  digest: Digest,
  options: ReceiveOptions,
): Promise<StoredImage> {
  const image = await readImage(from, digest, { platform: options.platform });
  const [manifestBytes, configBytes] = [await readManifestBytes(from, image), await readConfigBytes(from, image)];
  await receiveLayers(
    to,
    lease,
    image.config,
    image.layers.map(uncompressed),
    (wanted) => {
      return verifiedPieces(image.layers.find((layer) => layer.diffId === wanted.digest)!, new BufferPool(1 << 20));
    },
    options,
  );
  return putManifest(to, lease, manifestBytes, configBytes);
}
