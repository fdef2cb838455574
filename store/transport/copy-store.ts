// An image from one store into another.
import type { Store } from '../content/handle.js';
import { putManifest, readConfigBytes, readImage, readManifestBytes, uncompressed } from '../image/images.js';
import type { Lease, StoredImage } from '../types.js';
import type { Digest } from '../words.js';
import { verifiedPieces } from './compress.js';
import { type ReceiveOptions, receiveLayers } from './receive.js';

/**
 * Layers that `to` has are not read.
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
  const image = await readImage(from, digest, { platform: options.platform });
  const [manifestBytes, configBytes] = [await readManifestBytes(from, image), await readConfigBytes(from, image)];
  await receiveLayers(
    to,
    lease,
    image.config,
    image.layers.map(uncompressed),
    (wanted) => {
      return verifiedPieces(image.layers.find((layer) => layer.diffId === wanted.digest)!, 1 << 20);
    },
    options,
  );
  return putManifest(to, lease, manifestBytes, configBytes);
}
