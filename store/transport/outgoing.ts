// A stored image as others read it: its manifest, and the form in which each layer leaves.
import { blobPath, findBlob, findCompressions, putBlob, recordCompression } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { descriptorOf, encodeManifest, readConfigBytes, readManifestBytes, uncompressed } from '../image/images.js';
import type { Layer, Lease, StoredImage } from '../types.js';
import { type Descriptor, mediaTypes } from '../words.js';
import { type Compression, type CompressionChoice, compressLayer, layerTypes } from './compress.js';
import { inParallel, type OnProgress } from './progress.js';

/** A file that holds exactly the blob. Whoever sends it elsewhere checks the digest on the way, or the receiver does. */
export interface OutgoingLayer {
  readonly descriptor: Descriptor;
  readonly path: string;
}

export interface OutgoingManifest {
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
}

/** All parts of an image, ready to be written somewhere. */
export interface OutgoingImage {
  readonly manifest: OutgoingManifest;
  readonly config: Buffer;
  /** In the manifest's order; the same layer twice where the image has it twice. */
  readonly layers: readonly OutgoingLayer[];
}

/** The image with every layer in the chosen form. */
export async function prepareImage(
  store: Store,
  lease: Lease,
  image: StoredImage,
  choice: CompressionChoice,
  onProgress: OnProgress | undefined,
): Promise<OutgoingImage> {
  const prepared = new Map<string, OutgoingLayer>();
  const unique = [...new Map(image.layers.map((layer) => [layer.diffId, layer])).values()];
  // Compressing takes all processors for one layer already; two at once fill the gaps.
  await inParallel(unique, 2, async (layer) => {
    prepared.set(layer.diffId, await prepareLayer(store, lease, layer, choice, onProgress));
  });
  const layers = image.layers.map((layer) => prepared.get(layer.diffId)!);
  const manifest = await manifestOver(
    store,
    image,
    layers.map(({ descriptor }) => descriptor),
  );
  return { manifest, config: await readConfigBytes(store, image), layers };
}

/** The layer's tar itself, a compressed blob that is kept, or one that is made and kept now. */
export async function prepareLayer(
  store: Store,
  lease: Lease,
  layer: Layer,
  choice: CompressionChoice,
  onProgress: OnProgress | undefined,
): Promise<OutgoingLayer> {
  const { compression, level } = choice;
  if (compression === 'none') return { descriptor: uncompressed(layer), path: layer.tarPath };
  // Which level a kept blob has isn't known: who asks for one gets it.
  const kept =
    level === undefined
      ? knownForms(store, layer, compression).find(({ digest }) => findBlob(store, digest))
      : undefined;
  if (kept !== undefined) return { descriptor: kept, path: blobPath(store, kept.digest) };
  const report = (doneBytes: number): void =>
    onProgress?.({ digest: layer.diffId, state: 'compressing', doneBytes, totalBytes: layer.size });
  const { digest, size } = await putBlob(store, lease, compressLayer(layer, { compression, level }, report));
  const descriptor = { mediaType: layerTypes[compression], digest, size };
  recordCompression(store, layer.diffId, descriptor);
  return { descriptor, path: blobPath(store, digest) };
}

/** Compressed forms of a layer that were seen before, their bytes here or elsewhere. */
export function knownForms(store: Store, layer: Layer, compression: Compression | undefined): Descriptor[] {
  return findCompressions(store, layer.diffId)
    .map(({ digest, size, mediaType }) => ({ mediaType: ociLayerType(mediaType), digest, size }))
    .filter(({ mediaType }) => compression === undefined || mediaType === layerTypes[compression]);
}

/** Docker's name for a layer's type in OCI's words. */
function ociLayerType(mediaType: string): string {
  if (mediaType === mediaTypes.dockerLayer) return mediaTypes.ociLayer;
  if (mediaType === mediaTypes.dockerLayerGzip) return mediaTypes.ociLayerGzip;
  return mediaType.replace('.layer.nondistributable.v1.', '.layer.v1.');
}

/** The image's own manifest, byte for byte, where it names these very layers; else a new one over them. */
export async function manifestOver(
  store: Store,
  image: StoredImage,
  layers: readonly Descriptor[],
): Promise<OutgoingManifest> {
  const { manifest } = image;
  const same = layers.every(({ digest }, i) => digest === manifest.layers[i]?.digest);
  if (same) {
    const bytes = await readManifestBytes(store, image);
    return { bytes, descriptor: descriptorOf(bytes, manifest.mediaType ?? mediaTypes.ociManifest) };
  }
  const bytes = encodeManifest(await readConfigBytes(store, image), layers, manifest.annotations ?? {});
  return { bytes, descriptor: descriptorOf(bytes, mediaTypes.ociManifest) };
}
