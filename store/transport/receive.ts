// An image whose documents are known → the store. The same for registries, layouts and archives: they differ in how the
// bytes of a layer are opened.
import type { Store } from '../content/handle.js';
import { importLayer } from '../content/import.js';
import { findLayer } from '../content/layer.js';
import { StoreError } from '../errors.js';
import { putManifest } from '../image/images.js';
import type { ResolvedImage } from '../image/resolve.js';
import type { Lease, StoredImage } from '../types.js';
import { type Descriptor, type DiffId, type ImageConfig, mediaTypes, type Platform } from '../words.js';
import { largestFirst, type OnProgress } from './progress.js';

export interface ReceiveOptions {
  /** Which image of an index; a plain manifest is taken whatever its platform. */
  readonly platform?: Platform | undefined;
  /** How many layers are moved at once. */
  readonly jobs?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Told of the layers that will be moved, before the first of them is. */
  readonly onLayers?: ((layers: readonly Descriptor[]) => void) | undefined;
  /** Called when the config is known, before a layer is moved; what it throws ends the transfer. */
  readonly check?: ((config: ImageConfig) => void) | undefined;
}

export type OpenLayer = (layer: Descriptor) => AsyncIterable<Uint8Array>;

const layersAtOnce = 3;

/**
 * Brings the layers that the store lacks, then makes the image visible. Its documents are kept byte for byte.
 *
 * @param name the image's name for messages
 * @throws StoreError IMAGE_LAYER_TYPE, BLOB_DIGEST_MISMATCH; LAYER_* of importLayer
 */
export async function receiveImage(
  store: Store,
  lease: Lease,
  resolved: ResolvedImage,
  name: string,
  openLayer: OpenLayer,
  options: ReceiveOptions,
): Promise<StoredImage> {
  const { manifest, config } = resolved;
  for (const layer of manifest.layers) requireLayerType(layer, name);
  await receiveLayers(store, lease, config, manifest.layers, openLayer, options);
  return putManifest(store, lease, resolved.manifestBytes, resolved.configBytes);
}

/** The layers of `config` that the store lacks, from what `layers` says of each. */
export async function receiveLayers(
  store: Store,
  lease: Lease,
  config: ImageConfig,
  layers: readonly Descriptor[],
  openLayer: OpenLayer,
  options: ReceiveOptions,
): Promise<void> {
  options.check?.(config);
  const wanted = new Map(config.rootfs.diff_ids.map((diffId, i) => [diffId, layers[i]!]));
  options.onLayers?.([...wanted].flatMap(([diffId, layer]) => (findLayer(store, diffId) === null ? [layer] : [])));
  const { jobs = layersAtOnce, onProgress } = options;
  await largestFirst(
    [...wanted],
    jobs,
    ([, { size }]) => size,
    ([diffId, layer]) => receiveLayer(store, lease, diffId, layer, openLayer, onProgress),
  );
}

async function receiveLayer(
  store: Store,
  lease: Lease,
  diffId: DiffId,
  layer: Descriptor,
  openLayer: OpenLayer,
  onProgress: OnProgress | undefined,
): Promise<void> {
  const { digest, size, mediaType } = layer;
  const report = (state: 'present' | 'receiving' | 'done', doneBytes: number): void =>
    onProgress?.({ digest, state, doneBytes, totalBytes: size });
  if (findLayer(store, diffId) !== null) return report('present', size);
  const source = counted(openLayer(layer), (bytes) => report('receiving', bytes));
  // What has its diffID for a name is the tar itself: the diffID says it all.
  const blob = digest === diffId ? {} : { blob: { digest, size, mediaType } };
  await importLayer(store, lease, source, { expectDiffId: diffId, ...blob });
  report('done', size);
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    onBytes(bytes);
    yield chunk;
  }
}

const knownTypes: ReadonlySet<string> = new Set([
  mediaTypes.ociLayer,
  mediaTypes.ociLayerGzip,
  mediaTypes.ociLayerZstd,
  mediaTypes.dockerLayer,
  mediaTypes.dockerLayerGzip,
  'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
]);

/** True for the types that layers of file systems have. */
export function isLayerType(mediaType: string): boolean {
  return knownTypes.has(mediaType);
}

/** An artifact (a chart, a signature) has a manifest too, but no file system. */
function requireLayerType({ mediaType }: Descriptor, name: string): void {
  if (isLayerType(mediaType)) return;
  const foreign = mediaType === 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
  throw new StoreError('IMAGE_LAYER_TYPE', {
    message: `${name} has a layer of type ${JSON.stringify(mediaType.slice(0, 100))}`,
    hint: foreign
      ? 'its bytes may only be fetched from elsewhere (a Windows base); such images are not supported'
      : 'it is no container image, or of a kind this version does not know',
  });
}
