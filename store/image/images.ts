// Images of a store: their documents are blobs, their layers are found through config.rootfs.diff_ids, a row makes them visible.
import { findBlob, putBlob, readBlob } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { findLayer } from '../content/layer.js';
import { StoreError } from '../errors.js';
import type { Layer, Lease, StoredImage } from '../types.js';
import {
  type Descriptor,
  type DiffId,
  type Digest,
  type ImageConfig,
  type Manifest,
  mediaTypes,
  type Platform,
} from '../words.js';
import { parseConfig } from './document.js';
import { type ResolvedImage, resolveImage, sha256 } from './resolve.js';
import { canonicalJson } from './strict-json.js';

export interface NewImage {
  readonly config: ImageConfig;
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * Stores an image over layers that the store has. Idempotent: equal values give the same digest. Its manifest names the
 * layers as they lie here, uncompressed; compressing is the business of whoever sends it somewhere.
 *
 * @throws StoreError LAYER_MISSING, IMAGE_CONFIG_INVALID, IMAGE_HISTORY_MISMATCH
 */
export async function putImage(store: Store, lease: Lease, image: NewImage): Promise<StoredImage> {
  return putConfig(store, lease, canonicalJson(image.config), image.annotations);
}

/** `putImage` for a config whose exact bytes matter. */
export async function putConfig(
  store: Store,
  lease: Lease,
  configBytes: Buffer,
  annotations: Readonly<Record<string, string>> = {},
): Promise<StoredImage> {
  const config = parseConfig(configBytes, 'the config of the new image');
  const layers = findLayers(store, config.rootfs.diff_ids, 'the new image').map(uncompressed);
  const manifestBytes = encodeManifest(configBytes, layers, annotations);
  return putManifest(store, lease, manifestBytes, configBytes);
}

/** Whose names a manifest uses for what it refers to. */
export type MediaTypes = 'oci' | 'docker';

/** A manifest's bytes. `layers` have OCI's types. */
export function encodeManifest(
  configBytes: Buffer,
  layers: readonly Descriptor[],
  annotations: Readonly<Record<string, string>>,
  types: MediaTypes = 'oci',
): Buffer {
  const docker = types === 'docker';
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest,
    config: descriptorOf(configBytes, docker ? mediaTypes.dockerConfig : mediaTypes.ociConfig),
    layers: docker ? layers.map((layer) => ({ ...layer, mediaType: dockerLayerType(layer) })) : layers,
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
  return canonicalJson(manifest);
}

function dockerLayerType({ mediaType }: Descriptor): string {
  if (mediaType === mediaTypes.ociLayer) return mediaTypes.dockerLayer;
  if (mediaType === mediaTypes.ociLayerGzip) return mediaTypes.dockerLayerGzip;
  throw new Error(`Docker has no name for ${mediaType}`);
}

export function isDockerManifest({ mediaType }: Manifest): boolean {
  return mediaType === mediaTypes.dockerManifest;
}

/**
 * Stores an image whose documents exist already, byte for byte; its layers must be in the store.
 *
 * @throws StoreError LAYER_MISSING, IMAGE_*: the documents are not what they should be
 */
export async function putManifest(
  store: Store,
  lease: Lease,
  manifestBytes: Buffer,
  configBytes: Buffer,
): Promise<StoredImage> {
  const digest = sha256(manifestBytes);
  const root = { ...descriptorOf(manifestBytes, mediaTypes.ociManifest), mediaType: '' };
  // Read as anyone will read them: what would be refused then is refused now.
  const image = await resolveImage(root, undefined, digest, async (wanted) =>
    wanted.digest === digest ? manifestBytes : configBytes,
  );
  const layers = findLayers(store, image.config.rootfs.diff_ids, digest);
  await putBlob(store, lease, configBytes);
  await putBlob(store, lease, manifestBytes);
  store.database.putImage({
    digest,
    configDigest: image.manifest.config.digest,
    layers: layers.map(({ diffId }) => diffId),
  });
  return stored(image, layers);
}

/**
 * The image with this digest. An index is resolved to the manifest for `platform`; a plain manifest comes as it is, whatever
 * its platform: whoever asks compares `config`.
 *
 * @throws StoreError IMAGE_MISSING, LAYER_MISSING, PLATFORM_NOT_IN_INDEX, PLATFORM_NEEDED; BLOB_* when its bytes are damaged
 */
export async function readImage(
  store: Store,
  digest: Digest,
  options: { readonly platform?: Platform | undefined } = {},
): Promise<StoredImage> {
  const row = findBlob(store, digest);
  if (row === null) {
    throw new StoreError('IMAGE_MISSING', {
      message: `the store has no image ${digest}`,
      hint: "'tsbuild images' lists what it has",
    });
  }
  const root: Descriptor = { mediaType: '', digest, size: row.size };
  const image = await resolveImage(root, options.platform, digest, (wanted) => readDocument(store, wanted));
  return stored(image, findLayers(store, image.config.rootfs.diff_ids, digest));
}

/** The exact bytes of a stored image's manifest. */
export async function readManifestBytes(store: Store, image: StoredImage): Promise<Buffer> {
  return readBlob(store, image.digest);
}

/** The exact bytes of a stored image's config. */
export async function readConfigBytes(store: Store, image: StoredImage): Promise<Buffer> {
  return readBlob(store, image.configDigest);
}

async function readDocument(store: Store, wanted: Descriptor): Promise<Buffer> {
  if (findBlob(store, wanted.digest) === null) {
    throw new StoreError('IMAGE_INCOMPLETE', {
      message: `the store has an image but not its part ${wanted.digest}`,
      hint: 'pull or build it again',
    });
  }
  return readBlob(store, wanted.digest);
}

/** @throws StoreError LAYER_MISSING */
function findLayers(store: Store, diffIds: readonly DiffId[], name: string): Layer[] {
  return diffIds.map((diffId, i) => {
    const layer = findLayer(store, diffId);
    if (layer !== null) return layer;
    throw new StoreError('LAYER_MISSING', {
      message: `layer ${i + 1} of ${diffIds.length} of ${name} (${diffId}) is not in the store`,
      hint: 'pull or build the image again',
    });
  });
}

function stored(image: ResolvedImage, layers: readonly Layer[]): StoredImage {
  const { digest, manifest, config } = image;
  return { digest, configDigest: manifest.config.digest, manifest, config, layers };
}

/** How a layer is described by its exact tar. */
export function uncompressed(layer: Layer): Descriptor {
  return { mediaType: mediaTypes.ociLayer, digest: layer.diffId, size: layer.size };
}

export function descriptorOf(bytes: Buffer, mediaType: string): Descriptor {
  return { mediaType, digest: sha256(bytes), size: bytes.length };
}
