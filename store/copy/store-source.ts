// An image of a store as the source of a copy. Its layers lie as tars; a manifest may name a compressed form that is kept, or
// that is made again.
import { createReadStream } from 'node:fs';
import { blobPath, findBlob, readBlob } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { findLayer } from '../content/layer.js';
import { readFailure } from '../damage.js';
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { descriptorOf, encodeManifest, isDockerManifest } from '../image/images.js';
import { parseReference } from '../image/reference.js';
import { listTags } from '../image/tags.js';
import { levelOf } from '../transport/compress.js';
import { prepareExact, prepareLayer } from '../transport/outgoing.js';
import type { OnProgress } from '../transport/progress.js';
import type { Layer, Lease } from '../types.js';
import { type Descriptor, type DiffId, type Digest, mediaTypes } from '../words.js';
import type { Converted, CopyPlan, DocumentSource, ImageSource, PlannedManifest } from './image-source.js';
import { isImage, readPlannedConfig } from './planned-image.js';

/**
 * @param digest of an image or an index
 * @param lease what is compressed again is kept under it
 */
export function openStoreSource(
  store: Store,
  lease: Lease,
  digest: Digest,
  name: string,
  onProgress?: OnProgress | undefined,
): ImageSource {
  const known = new Map<Digest, DiffId>();
  const seen = new Set<Digest>([digest]);
  const documents = storeDocuments(store, digest, name);
  const self: ImageSource = {
    ...documents,
    async readDocument(wanted) {
      seen.add(wanted.digest);
      return documents.readDocument(wanted);
    },
    openBlob: (blob, start = 0) => readLayerOrBlob(store, lease, blob, start, known, name, onProgress),
    repositoriesAt: (registry) => [
      ...new Set(
        listTags(store)
          .filter((tag) => seen.has(tag.digest))
          .map((tag) => parseReference(tag.reference))
          .filter((tag) => tag.registry === registry)
          .map((tag) => tag.repository),
      ),
    ],
    async complete(plan) {
      for (const planned of plan.manifests.filter(({ manifest }) => isImage(manifest))) {
        const { config } = await readPlannedConfig(self, planned);
        for (const [i, { digest: form }] of planned.manifest.layers.entries()) {
          known.set(form, config.rootfs.diff_ids[i]!);
        }
      }
      const only = plan.manifests[0];
      return plan.documents.length === 0 && only !== undefined && isImage(only.manifest)
        ? inFormsThatAreHere(store, lease, plan, only, self, known, onProgress)
        : { plan, source: self };
    },
    async recompress(_, diffId, choice) {
      const here = findLayer(store, diffId);
      return here === null ? null : prepareLayer(store, lease, here, choice, onProgress);
    },
    close: async () => {},
  };
  return self;
}

/** What an image of a store says of itself; nothing is made or kept for it. */
export function storeDocuments(store: Store, digest: Digest, name: string): DocumentSource {
  return {
    name,
    async root() {
      const bytes = await readBlob(store, digest);
      const document = parseImageDocument(bytes, `the manifest of ${name}`);
      const own = document.kind === 'index' ? document.index.mediaType : document.manifest.mediaType;
      const usual = document.kind === 'index' ? mediaTypes.ociIndex : mediaTypes.ociManifest;
      return { descriptor: descriptorOf(bytes, own ?? usual), bytes };
    },
    async readDocument(wanted) {
      requirePart(store, wanted.digest, name);
      return readBlob(store, wanted.digest);
    },
  };
}

async function* readLayerOrBlob(
  store: Store,
  lease: Lease,
  blob: Descriptor,
  start: number,
  known: ReadonlyMap<Digest, DiffId>,
  name: string,
  onProgress: OnProgress | undefined,
): AsyncGenerator<Uint8Array> {
  const path = await fileOf(store, lease, blob, known, name, onProgress);
  try {
    yield* createReadStream(path, { start, highWaterMark: 1 << 20 });
  } catch (error) {
    throw readFailure('blob', blob.digest, error);
  }
}

async function fileOf(
  store: Store,
  lease: Lease,
  blob: Descriptor,
  known: ReadonlyMap<Digest, DiffId>,
  name: string,
  onProgress: OnProgress | undefined,
): Promise<string> {
  if (findBlob(store, blob.digest) !== null) return blobPath(store, blob.digest);
  const layer = layerOf(store, blob, known);
  if (layer === null) requirePart(store, blob.digest, name);
  return (await prepareExact(store, lease, layer!, blob, onProgress)).path;
}

function layerOf(store: Store, blob: Descriptor, known: ReadonlyMap<Digest, DiffId>): Layer | null {
  return findLayer(store, known.get(blob.digest) ?? (blob.digest as DiffId));
}

/**
 * A pulled image's manifest names blobs that some other program compressed, and that are not kept: where these can't be made
 * again, its layers go in our own compression, under a manifest of their own.
 */
async function inFormsThatAreHere(
  store: Store,
  lease: Lease,
  plan: CopyPlan,
  { manifest }: PlannedManifest,
  source: ImageSource,
  known: Map<Digest, DiffId>,
  onProgress: OnProgress | undefined,
): Promise<Converted> {
  const layers: Descriptor[] = [];
  for (const blob of manifest.layers) {
    const layer = findBlob(store, blob.digest) === null ? layerOf(store, blob, known) : null;
    layers.push(layer === null ? blob : await formHere(store, lease, layer, blob, onProgress));
  }
  if (layers.every(({ digest }, i) => digest === manifest.layers[i]!.digest)) return { plan, source };
  const config = await readBlob(store, manifest.config.digest);
  const types = isDockerManifest(manifest) && layers.every(hasDockerName) ? 'docker' : 'oci';
  const bytes = encodeManifest(config, layers, manifest.annotations ?? {}, types);
  const mediaType = types === 'docker' ? mediaTypes.dockerManifest : mediaTypes.ociManifest;
  const root = { descriptor: descriptorOf(bytes, mediaType), bytes };
  const parsed = parseImageDocument(bytes, source.name);
  if (parsed.kind === 'index') throw new Error('a manifest was encoded as an index');
  const manifests = [{ ...root, manifest: parsed.manifest }];
  return { plan: { root, documents: [], manifests, blobs: [parsed.manifest.config, ...layers] }, source };
}

function hasDockerName({ mediaType }: Descriptor): boolean {
  return mediaType === mediaTypes.ociLayer || mediaType === mediaTypes.ociLayerGzip;
}

async function formHere(
  store: Store,
  lease: Lease,
  layer: Layer,
  wanted: Descriptor,
  onProgress: OnProgress | undefined,
): Promise<Descriptor> {
  try {
    return (await prepareExact(store, lease, layer, wanted, onProgress)).descriptor;
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'LAYER_FORM_MISSING') throw error;
  }
  const compression = wanted.mediaType.endsWith('zstd') ? 'zstd' : 'gzip';
  const level = levelOf({ compression });
  return (await prepareLayer(store, lease, layer, { compression, level }, onProgress)).descriptor;
}

function requirePart(store: Store, digest: Digest, name: string): void {
  if (findBlob(store, digest) !== null) return;
  throw new StoreError('IMAGE_INCOMPLETE', {
    message: `the store has ${name} but not its part ${digest}`,
    hint: 'pull or build it again',
  });
}
