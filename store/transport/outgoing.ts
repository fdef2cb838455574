// A stored image as others read it: its manifest, and the form in which each layer leaves.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { blobPath, findBlob, findCompressions, putBlob, recordCompression, writeBlob } from '../content/blob.js';
import { lookupCache, recordCache } from '../content/cache.js';
import type { Store } from '../content/handle.js';
import { importLayer } from '../content/import.js';
import { readingLayer } from '../damage.js';
import { StoreError } from '../errors.js';
import { scanTar } from '../format/tar-scan.js';
import {
  descriptorOf,
  encodeManifest,
  isDockerManifest,
  type MediaTypes,
  readConfigBytes,
  readManifestBytes,
  uncompressed,
} from '../image/images.js';
import type { StoredIndex } from '../image/indexes.js';
import { canonicalJson, parseStrictJson } from '../image/strict-json.js';
import type { Layer, Lease, StoredImage } from '../types.js';
import { type Descriptor, type DiffId, type Digest, mediaTypes } from '../words.js';
import { type Compression, type CompressionChoice, compressLayer, engineOf, layerTypes, levelOf } from './compress.js';
import { canBeEstargz, type Estargz, encodeEstargz } from './estargz.js';
import { inParallel, type OnProgress } from './progress.js';

/** A file that holds exactly the blob. Whoever sends it elsewhere checks the digest on the way, or the receiver does. */
export interface OutgoingLayer {
  readonly descriptor: Descriptor;
  readonly path: string;
  /** What its blob uncompresses to: the layer itself, or what an eStargz of it is. */
  readonly diffId: DiffId;
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

/** An image, with the index where it is in one; or an index whoever its images are for. */
export type Outgoing =
  | { readonly image: StoredImage; readonly index?: StoredIndex | undefined }
  | { readonly image?: undefined; readonly index: StoredIndex };

/** The image itself, for a format that holds no index. */
export function imageOf({ image }: Outgoing): StoredImage {
  if (image !== undefined) return image;
  throw new Error('an index was to be written in a format that holds none');
}

/** An image or an index as blobs under their digests. */
export interface OutgoingBlobs {
  /** Of the document that all the others are found by. */
  readonly root: Descriptor;
  readonly documents: readonly Buffer[];
  readonly files: readonly Pick<OutgoingLayer, 'descriptor' | 'path'>[];
}

/** All parts. Of an index everything goes as it is, whatever the choice: what is attested names the exact bytes. */
export async function prepareBlobs(
  store: Store,
  lease: Lease,
  outgoing: Outgoing,
  choice: CompressionChoice | null,
  onProgress: OnProgress | undefined,
): Promise<OutgoingBlobs> {
  const { index } = outgoing;
  if (index === undefined) {
    const image = imageOf(outgoing);
    const { manifest, config, layers } = await prepareImage(store, lease, image, choice, onProgress);
    const { os, architecture, variant } = image.config;
    const root = { ...manifest.descriptor, platform: { architecture, os, ...(variant && { variant }) } };
    return { root, documents: [config, manifest.bytes], files: layers };
  }
  const documents: Buffer[] = [];
  const files: OutgoingBlobs['files'][number][] = [];
  for (const each of index.images) {
    const { manifest, config, layers } = await prepareImage(store, lease, each, null, onProgress);
    documents.push(config, manifest.bytes);
    files.push(...layers);
  }
  for (const { bytes, blobs } of index.others) {
    documents.push(bytes);
    files.push(...blobs.map((descriptor) => ({ descriptor, path: blobPath(store, descriptor.digest) })));
  }
  return { root: index.descriptor, documents: [...documents, index.bytes], files };
}

export interface OutgoingForm extends CompressionChoice {
  readonly types?: MediaTypes | undefined;
  /** Layers that stay in any compressed form that is here. */
  readonly keep?: ReadonlySet<DiffId> | undefined;
}

/** The image with every layer in the chosen form; null: in the form that its own manifest names. */
export async function prepareImage(
  store: Store,
  lease: Lease,
  image: StoredImage,
  choice: OutgoingForm | null,
  onProgress: OnProgress | undefined,
): Promise<OutgoingImage> {
  const prepared = new Map<string, OutgoingLayer>();
  const unique = [...new Map(image.layers.map((layer, i) => [layer.diffId, { layer, i }])).values()];
  // Compressing takes all processors for one layer already; two at once fill the gaps.
  await inParallel(unique, 2, async ({ layer, i }) => {
    const own = image.manifest.layers[i]!;
    prepared.set(
      layer.diffId,
      choice === null
        ? await prepareExact(store, lease, layer, own, onProgress)
        : (keptAsItIs(store, layer, choice) ?? (await prepareLayer(store, lease, layer, choice, onProgress))),
    );
  });
  const layers = image.layers.map((layer) => prepared.get(layer.diffId)!);
  return { ...(await documentsOver(store, image, layers, choice?.types)), layers };
}

function keptAsItIs(store: Store, layer: Layer, { keep, types }: OutgoingForm): OutgoingLayer | null {
  const { diffId } = layer;
  if (!keep?.has(diffId)) return null;
  const forms = knownForms(store, layer, types === 'docker' ? 'gzip' : undefined);
  const descriptor = forms.find(({ digest }) => findBlob(store, digest));
  return descriptor === undefined ? null : { descriptor, path: blobPath(store, descriptor.digest), diffId };
}

/** Manifest and config of `image` over these forms of its layers. */
export async function documentsOver(
  store: Store,
  image: StoredImage,
  layers: readonly Pick<OutgoingLayer, 'descriptor' | 'diffId'>[],
  types?: MediaTypes,
  annotations: Readonly<Record<string, string>> = {},
): Promise<{ manifest: OutgoingManifest; config: Buffer }> {
  const configBytes = await readConfigBytes(store, image);
  const sameLayers = layers.every(({ diffId }, i) => diffId === image.layers[i]!.diffId);
  const config = sameLayers
    ? configBytes
    : withDiffIds(
        configBytes,
        layers.map(({ diffId }) => diffId),
      );
  const descriptors = layers.map(({ descriptor }) => descriptor);
  return { manifest: await manifestOver(store, image, config, descriptors, types, annotations), config };
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
  const { diffId } = layer;
  if (compression === 'none') return { descriptor: uncompressed(layer), path: layer.tarPath, diffId };
  if (compression === 'estargz') return prepareEstargz(store, lease, layer, choice, onProgress);
  const kept = level === undefined ? knownForms(store, layer, compression) : [];
  kept.push(...keptForm(store, layer, choice));
  const present = kept.find(({ digest }) => findBlob(store, digest));
  if (present !== undefined) return { descriptor: present, path: blobPath(store, present.digest), diffId };
  const report = (doneBytes: number): void =>
    onProgress?.({ digest: diffId, state: 'compressing', doneBytes, totalBytes: layer.size });
  const compressed = compressLayer(layer, { compression, level }, report);
  if (store.readOnly) {
    const { path, ...blob } = await writeBlob(lease, compressed);
    return { descriptor: { mediaType: layerTypes[compression], ...blob }, path, diffId };
  }
  const { digest, size } = await putBlob(store, lease, compressed);
  const descriptor = { mediaType: layerTypes[compression], digest, size };
  recordCompression(store, diffId, descriptor);
  recordCache(store, formKey(layer, choice), { diffId: null, inputs: descriptor });
  return { descriptor, path: blobPath(store, digest), diffId };
}

/**
 * The very blob that a manifest names: kept here, or compressed again, which gives the same bytes if this program made it.
 *
 * @throws StoreError LAYER_FORM_MISSING
 */
export async function prepareExact(
  store: Store,
  lease: Lease,
  layer: Layer,
  wanted: Descriptor,
  onProgress: OnProgress | undefined,
): Promise<OutgoingLayer> {
  const { diffId } = layer;
  if (wanted.digest === diffId) return { descriptor: wanted, path: layer.tarPath, diffId };
  if (findBlob(store, wanted.digest)) return { descriptor: wanted, path: blobPath(store, wanted.digest), diffId };
  const compression = wanted.mediaType === layerTypes.zstd ? 'zstd' : 'gzip';
  const again = await prepareLayer(store, lease, layer, { compression, level: levelOf({ compression }) }, onProgress);
  if (again.descriptor.digest === wanted.digest) return { ...again, descriptor: wanted };
  throw new StoreError('LAYER_FORM_MISSING', {
    message: `layer ${wanted.digest} is in the store as ${diffId} only, not in the compressed form that its image names`,
    hint: 'what is attested about an image names its exact bytes: build it again, or send its image without the attestations',
  });
}

/** An eStargz layer is a layer of its own in the store, and is made once for each level. */
async function prepareEstargz(
  store: Store,
  lease: Lease,
  layer: Layer,
  choice: CompressionChoice,
  onProgress: OnProgress | undefined,
): Promise<OutgoingLayer> {
  const entries = readingLayer(layer.diffId, () => scanTar(layer.tarPath, layer.size));
  if (!canBeEstargz(entries)) {
    return prepareLayer(store, lease, layer, { ...choice, compression: 'gzip' }, onProgress);
  }
  const known = lookupCache(store, formKey(layer, choice));
  const kept = known?.inputs as Descriptor | undefined;
  if (known?.diffId && kept && findBlob(store, kept.digest)) {
    return { descriptor: kept, path: blobPath(store, kept.digest), diffId: known.diffId };
  }
  const report = (doneBytes: number): void =>
    onProgress?.({ digest: layer.diffId, state: 'compressing', doneBytes, totalBytes: layer.size });
  const encoded = encodeEstargz(layer, levelOf(choice), report);
  let facts: Estargz | undefined;
  const blob = await putBlob(
    store,
    lease,
    (async function* () {
      facts = yield* encoded;
    })(),
  );
  const { tocDigest, uncompressedSize, uncompressedDigest } = facts!;
  const diffId = uncompressedDigest as DiffId;
  const descriptor: Descriptor = {
    mediaType: layerTypes.estargz,
    ...blob,
    annotations: {
      'containerd.io/snapshot/stargz/toc.digest': tocDigest,
      'io.containers.estargz.uncompressed-size': String(uncompressedSize),
    },
  };
  const path = blobPath(store, blob.digest);
  await importLayer(store, lease, createReadStream(path, { highWaterMark: 1 << 20 }), {
    expectDiffId: diffId,
    blob: descriptor,
  });
  recordCache(store, formKey(layer, choice), { diffId, inputs: descriptor });
  return { descriptor, path, diffId };
}

/** Compressed forms of a layer that were seen before, their bytes here or elsewhere. */
export function knownForms(store: Store, layer: Layer, compression: Compression | undefined): Descriptor[] {
  return findCompressions(store, layer.diffId)
    .map(({ digest, size, mediaType }) => ({ mediaType: ociLayerType(mediaType), digest, size }))
    .filter(({ mediaType }) => compression === undefined || mediaType === layerTypes[compression]);
}

/** The form that this very choice led to before. */
function keptForm(store: Store, layer: Layer, choice: CompressionChoice): Descriptor[] {
  const kept = lookupCache(store, formKey(layer, choice));
  return kept === null ? [] : [kept.inputs as Descriptor];
}

/** Another engine makes other bytes. */
function formKey({ diffId }: Layer, choice: CompressionChoice): string {
  const engine = choice.compression === 'none' ? '' : engineOf(choice.compression);
  return createHash('sha256')
    .update(`form 2 ${diffId} ${choice.compression} ${levelOf(choice)} ${engine}`)
    .digest('hex');
}

/** Docker's name for a layer's type in OCI's words. */
export function ociLayerType(mediaType: string): string {
  if (mediaType === mediaTypes.dockerLayer) return mediaTypes.ociLayer;
  if (mediaType === mediaTypes.dockerLayerGzip) return mediaTypes.ociLayerGzip;
  return mediaType.replace('.layer.nondistributable.v1.', '.layer.v1.');
}

/** The image's own manifest, byte for byte, where it says just that; else a new one. */
async function manifestOver(
  store: Store,
  image: StoredImage,
  config: Buffer,
  layers: readonly Descriptor[],
  types: MediaTypes | undefined,
  annotations: Readonly<Record<string, string>>,
): Promise<OutgoingManifest> {
  const { manifest } = image;
  const same =
    layers.every(({ digest }, i) => digest === manifest.layers[i]?.digest) &&
    Object.entries(annotations).every(([key, value]) => manifest.annotations?.[key] === value) &&
    (types === undefined || (types === 'docker') === isDockerManifest(manifest));
  if (same) {
    const bytes = await readManifestBytes(store, image);
    return { bytes, descriptor: descriptorOf(bytes, manifest.mediaType ?? mediaTypes.ociManifest) };
  }
  const bytes = encodeManifest(config, layers, { ...manifest.annotations, ...annotations }, types);
  return {
    bytes,
    descriptor: descriptorOf(bytes, types === 'docker' ? mediaTypes.dockerManifest : mediaTypes.ociManifest),
  };
}

function withDiffIds(config: Buffer, diffIds: readonly Digest[]): Buffer {
  const value = parseStrictJson(config, 'the config') as Record<string, unknown>;
  return canonicalJson({ ...value, rootfs: { type: 'layers', diff_ids: diffIds } });
}
