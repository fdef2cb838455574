// Indexes of images in a store: an image and what is attested about it, and in time images for several platforms. An index is
// a blob like a manifest; the tags that point at it keep it and everything it names.
import { findBlob, putBlob, readBlob } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { StoreError } from '../errors.js';
import type { Lease, StoredImage } from '../types.js';
import { type Descriptor, type Digest, type ImageIndex, type Manifest, mediaTypes } from '../words.js';
import { parseImageDocument } from './document.js';
import { descriptorOf, readImage } from './images.js';
import { isAttestation } from './platform.js';
import { canonicalJson } from './strict-json.js';

/** A document of an index that is no image: what is attested about one. */
export interface Attached {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly manifest: Manifest;
  /** Its config and its layers. */
  readonly blobs: readonly Descriptor[];
}

export interface StoredIndex {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly index: ImageIndex;
  /** Its images, in its order. */
  readonly images: readonly StoredImage[];
  readonly others: readonly Attached[];
}

/**
 * Stores an index whose entries are all in the store.
 *
 * @throws StoreError IMAGE_MISSING, IMAGE_INCOMPLETE
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
  for (const entry of index.manifests) {
    if (isAttestation(entry)) others.push(await readAttached(store, entry));
    else images.push(await readImage(store, entry.digest));
  }
  return { descriptor: descriptorOf(bytes, index.mediaType ?? mediaTypes.ociIndex), bytes, index, images, others };
}

async function readAttached(store: Store, descriptor: Descriptor): Promise<Attached> {
  requirePart(store, descriptor.digest);
  const bytes = await readBlob(store, descriptor.digest);
  const document = parseImageDocument(bytes, descriptor.digest, descriptor.mediaType);
  if (document.kind === 'index') {
    throw new StoreError('IMAGE_DOCUMENT_INVALID', { message: `${descriptor.digest} is an index, not an attestation` });
  }
  const { manifest } = document;
  const blobs = [manifest.config, ...manifest.layers];
  for (const { digest } of blobs) requirePart(store, digest);
  return { descriptor, bytes, manifest, blobs };
}

function requirePart(store: Store, digest: Digest): void {
  if (findBlob(store, digest) !== null) return;
  throw new StoreError('IMAGE_INCOMPLETE', {
    message: `the store has an image but not its part ${digest}`,
    hint: 'pull or build it again',
  });
}
