// What a client pushed → an image that can be run and built from: its blobs become layers when its manifest comes, before the
// client is told that it is there. Anything that is no image (charts, signatures, images that are broken) stays what it is: a manifest
// and blobs, which are served as they came.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { blobPath, dropLayersBlob, findBlob, readBlob } from '../content/blob.js';
import { decompress } from '../content/decompress.js';
import type { Store } from '../content/handle.js';
import { importLayer } from '../content/import.js';
import { findLayer, layerFromBlob } from '../content/layer.js';
import { StoreError } from '../errors.js';
import { parseConfig, requireSameLayerCount } from '../image/document.js';
import { putManifest } from '../image/images.js';
import { maxDocumentBytes } from '../image/strict-json.js';
import { inParallel } from '../transport/progress.js';
import { isLayerType } from '../transport/receive.js';
import type { Lease } from '../types.js';
import { type Descriptor, type DiffId, type Manifest, mediaTypes } from '../words.js';

const layersAtOnce = 2;
/** A layer that grows this large must not have grown more than honest ones do: a client that is let in is not yet trusted. */
const suspectBytes = 1 << 30;

/**
 * @param maxBytes what a layer may unpack to
 * @returns why it is no image; null if it is one now
 * @throws StoreError STORE_*
 */
export async function makePushedImage(
  store: Store,
  lease: Lease,
  manifest: Manifest,
  bytes: Buffer,
  maxBytes: number | undefined,
): Promise<StoreError | null> {
  try {
    const config = await readBlob(store, manifest.config.digest);
    const { rootfs } = parseConfig(config, 'the config');
    requireSameLayerCount(manifest, parseConfig(config, 'the config'), 'the image');
    const layers = new Map(rootfs.diff_ids.map((diffId, i) => [diffId, manifest.layers[i]!]));
    await inParallel([...layers], layersAtOnce, ([diffId, layer]) => bringLayer(store, lease, diffId, layer, maxBytes));
    await putManifest(store, lease, bytes, config);
    return null;
  } catch (error) {
    if (error instanceof StoreError && /^(IMAGE|LAYER|TAR|BLOB|DIGEST|DECOMPRESSOR)_/.test(error.code)) return error;
    throw error;
  }
}

/** True for what says that it is an image; whether it is one, only its parts can tell. */
export function looksLikeImage({ config, layers }: Manifest): boolean {
  const isConfig = config.mediaType === mediaTypes.ociConfig || config.mediaType === mediaTypes.dockerConfig;
  return isConfig && config.size <= maxDocumentBytes && layers.every(({ mediaType }) => isLayerType(mediaType));
}

async function bringLayer(
  store: Store,
  lease: Lease,
  diffId: DiffId,
  blob: Descriptor,
  maxBytes: number | undefined,
): Promise<void> {
  const isKnown = findLayer(store, diffId) !== null;
  const stored = findBlob(store, blob.digest);
  if (blob.digest === diffId) {
    if (!isKnown && stored !== null) await layerFromBlob(store, lease, blobPath(store, diffId), stored);
    return dropLayersBlob(store, diffId);
  }
  if (isKnown && store.database.compressions(diffId).some(({ digest }) => digest === blob.digest)) return;
  if (stored === null) throw otherLayer(blob, diffId); // the tar of another layer
  const source = createReadStream(blobPath(store, blob.digest), { highWaterMark: 1 << 20 });
  if (!isKnown) {
    await importLayer(store, lease, source, {
      expectDiffId: diffId,
      blob,
      suspectBytes,
      ...(maxBytes !== undefined && { maxBytes }),
    });
    return;
  }
  // That this blob is a form of that layer, nobody has to believe: it would be sent to others as one.
  const hash = createHash('sha256');
  for await (const chunk of decompress(source)) hash.update(chunk);
  if (`sha256:${hash.digest('hex')}` !== diffId) throw otherLayer(blob, diffId);
  store.database.putCompression(diffId, blob);
}

function otherLayer({ digest }: Descriptor, diffId: DiffId): StoreError {
  return new StoreError('LAYER_DIFF_ID_MISMATCH', { message: `the blob ${digest} is not the layer ${diffId}` });
}
