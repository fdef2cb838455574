// Indexes of images in a store: an image and what is attested about it, and in time images for several platforms. An index is
// a blob like a manifest; the tags that point at it keep it and everything it names.
import { findBlob, putBlob, readBlob } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { findLayer } from '../content/layer.js';
import { StoreError } from '../errors.js';
import type { Lease, StoredImage } from '../types.js';
import {
  type Descriptor,
  type Digest,
  type ImageConfig,
  type ImageIndex,
  type Manifest,
  mediaTypes,
} from '../words.js';
import { parseConfig, parseImageDocument } from './document.js';
import { descriptorOf, readImage } from './images.js';
import { isAttestation } from './platform.js';
import { canonicalJson } from './strict-json.js';

/** A document of an index that is no image, or one that is kept as it came: what is attested, an image for other machines. */
export interface Attached {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  /** Its config and its layers, as blobs. */
  readonly blobs: readonly Descriptor[];
}

export interface StoredIndex {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly index: ImageIndex;
  /** Images whose layers are here, in its order. */
  readonly images: readonly StoredImage[];
  /** Everything else that it names, parts before wholes. */
  readonly others: readonly Attached[];
}

/**
 * Stores an index whose entries are all in the store.
 *
 * @throws StoreError IMAGE_INCOMPLETE
 */
export async function putIndex(
  store: Store,
  lease: Lease,
  index: Omit<ImageIndex, 'schemaVersion' | 'mediaType'>,
): Promise<StoredIndex> {
  const { manifests, annotations = {} } = index;
  const bytes = canonicalJson({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests,
    ...(Object.keys(annotations).length > 0 && { annotations }),
  });
  const { digest } = await putBlob(store, lease, bytes);
  return requireIndex(await readIndex(store, digest), digest);
}

function requireIndex(index: StoredIndex | null, digest: Digest): StoredIndex {
  if (index !== null) return index;
  throw new Error(`${digest} was stored as an index and is none`);
}

/**
 * The index with this digest; null where that is an image's own manifest.
 *
 * @throws StoreError IMAGE_MISSING, IMAGE_INCOMPLETE
 */
export async function readIndex(store: Store, digest: Digest): Promise<StoredIndex | null> {
  // Images have a row, indexes have none: most of the time nothing is read.
  if (store.database.image(digest) !== null || findBlob(store, digest) === null) return null;
  const bytes = await readBlob(store, digest);
  const document = parseImageDocument(bytes, digest);
  if (document.kind === 'manifest') return null;
  const { index } = document;
  const images: StoredImage[] = [];
  const others: Attached[] = [];
  for (const entry of index.manifests) await readEntry(store, entry, images, others);
  return { descriptor: descriptorOf(bytes, index.mediaType ?? mediaTypes.ociIndex), bytes, index, images, others };
}

async function readEntry(
  store: Store,
  descriptor: Descriptor,
  images: StoredImage[],
  others: Attached[],
  depth = 0,
): Promise<void> {
  if (!isAttestation(descriptor) && store.database.image(descriptor.digest) !== null) {
    images.push(await readImage(store, descriptor.digest));
    return;
  }
  requirePart(store, descriptor.digest);
  const bytes = await readBlob(store, descriptor.digest);
  const document = parseImageDocument(bytes, descriptor.digest, descriptor.mediaType);
  if (document.kind === 'manifest') {
    const blobs = [document.manifest.config, ...document.manifest.layers];
    for (const { digest } of blobs) requirePart(store, digest);
    others.push({ descriptor, bytes, blobs });
    return;
  }
  if (depth >= maxDepth) {
    throw new StoreError('IMAGE_INDEX_TOO_DEEP', {
      message: `${descriptor.digest} is in indexes nested more than ${maxDepth} deep`,
    });
  }
  for (const entry of document.index.manifests) await readEntry(store, entry, images, others, depth + 1);
  others.push({ descriptor, bytes, blobs: [] });
}

const maxDepth = 4;

function requirePart(store: Store, digest: Digest): void {
  if (findBlob(store, digest) !== null) return;
  throw new StoreError('IMAGE_INCOMPLETE', {
    message: `the store has an image but not its part ${digest}`,
    hint: 'pull or build it again',
  });
}

/** An image that an index lists, whether its layers are here or only the blobs that it came as. */
export interface IndexedImage {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  /** Of its layers' tars, or of what it came as. */
  readonly sizeBytes: number;
  readonly packed: boolean;
}

/** Null where the store has it not, or it is no image. @throws StoreError BLOB_DAMAGED, IMAGE_* */
export async function readIndexed(store: Store, digest: Digest): Promise<IndexedImage | null> {
  if (findBlob(store, digest) === null) return null;
  const document = parseImageDocument(await readBlob(store, digest), digest);
  if (document.kind === 'index' || findBlob(store, document.manifest.config.digest) === null) return null;
  const { manifest } = document;
  const { ociConfig, dockerConfig } = mediaTypes;
  if (manifest.config.mediaType !== ociConfig && manifest.config.mediaType !== dockerConfig) return null;
  const config = parseConfig(await readBlob(store, manifest.config.digest), `the config of ${digest}`);
  const layers = config.rootfs.diff_ids.map((diffId) => findLayer(store, diffId));
  const sizes = layers.map((layer, i) => layer?.size ?? manifest.layers[i]?.size ?? 0);
  return {
    digest,
    manifest,
    config,
    sizeBytes: sizes.reduce((sum, size) => sum + size, 0),
    packed: layers.includes(null),
  };
}
