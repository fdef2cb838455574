// What an image consists of: the objects that its digest leads to. For the collector, the bill and the check after a crash.
import { readFileSync } from 'node:fs';
import { readFailure } from '../damage.js';
import { type DiffId, type Digest, parseDiffId, parseDigest } from '../words.js';
import { hasCode } from './faults.js';
import type { Store } from './handle.js';
import { blobFile } from './paths.js';

/** Larger blobs are no manifests. @see OCI distribution-spec v1.1: registries refuse manifests above 4 MiB */
const maxDocumentBytes = 8 << 20;

export interface Reached {
  readonly layers: Set<DiffId>;
  readonly blobs: Set<Digest>;
  /** Compressed forms of layers that are not reached by their layer alone. */
  readonly spare?: ReadonlySet<Digest>;
}

/**
 * Adds to `into` what `digest` leads to: an index of images to its images, an image to its config and layers, a layer to its
 * compressed blobs, any other object to itself only.
 */
export function reachFrom(store: Store, digest: Digest, into: Reached): void {
  const { database } = store;
  const diffId = digest as DiffId;
  if (!into.layers.has(diffId) && database.layer(diffId) !== null) addLayer(store, diffId, into);
  const blob = database.blob(digest);
  if (blob === null || into.blobs.has(digest)) return;
  into.blobs.add(digest);

  const row = database.image(digest);
  if (row !== null) {
    into.blobs.add(row.configDigest);
    for (const id of row.layers) addLayer(store, id, into);
    // It is sent on with the very blobs that it came with, also where nobody knows any more which layers they are.
    addBlobs(store, readDocument(store, digest)?.layers, into);
    return;
  }
  const document = blob.size <= maxDocumentBytes ? readDocument(store, digest) : null;
  if (document === null) return;
  for (const child of digestsIn(document.manifests)) reachFrom(store, child, into);
  for (const part of [...digestsIn([document.config]), ...digestsIn(document.layers)]) reachFrom(store, part, into);
  const rootfs = isObject(document.rootfs) ? document.rootfs.diff_ids : null;
  for (const id of stringsIn(rootfs)) addLayer(store, parseDiffId(id), into);
}

/** True if every part of the image is in the store; of an index of images, every part of those that were ever in it. */
export function imageComplete(store: Store, digest: Digest): boolean {
  const { database } = store;
  if (database.blob(digest) === null) return false;
  const row = database.image(digest);
  if (row !== null) {
    return database.blob(row.configDigest) !== null && row.layers.every((id) => database.layer(id) !== null);
  }
  const document = readDocument(store, digest);
  if (document !== null && Array.isArray(document.layers)) return artifactComplete(store, document);
  return entriesOf(document).every(({ digest: child, isImage }) => {
    if (isImage && database.image(child) !== null) return imageComplete(store, child);
    // An index may name images that never came; of one that came packed, all parts did.
    if (database.blob(child) === null) return isImage;
    return partsPresent(store, readDocument(store, child));
  });
}

/** Of what is no image, or is kept as it came; layers that may only be fetched from elsewhere are never here. */
function artifactComplete(store: Store, document: Readonly<Record<string, unknown>>): boolean {
  const layers: unknown[] = Array.isArray(document.layers) ? document.layers : [];
  const isElsewhere = (layer: unknown): boolean =>
    isObject(layer) && /\.(nondistributable\.v1|foreign\.diff)\./.test(String(layer.mediaType));
  if (partsPresent(store, { ...document, layers: layers.filter((layer) => !isElsewhere(layer)) })) return true;
  const [config] = digestsIn([document.config]);
  const rootfs = config === undefined ? null : readDocument(store, config)?.rootfs;
  const diffIds = stringsIn(isObject(rootfs) ? rootfs.diff_ids : null);
  return diffIds.length > 0 && diffIds.every((id) => store.database.layer(parseDiffId(id)) !== null);
}

/** The images that an index names; null where `digest` is no index of this store. */
export function indexedImages(store: Store, digest: Digest): Digest[] | null {
  const { database } = store;
  const blob = database.image(digest) === null ? database.blob(digest) : null;
  const document = blob !== null && blob.size <= maxDocumentBytes ? readDocument(store, digest) : null;
  if (document === null || !Array.isArray(document.manifests)) return null;
  return entriesOf(document).flatMap(({ digest: child, isImage }) => (isImage ? [child] : []));
}

/** What a manifest or an index names, of those digests that a store can have; null where `digest` is neither. */
export function namedIn(
  store: Store,
  digest: Digest,
): { readonly manifests: Digest[]; readonly blobs: Digest[] } | null {
  const blob = store.database.blob(digest);
  const document = blob !== null && blob.size <= maxDocumentBytes ? readDocument(store, digest) : null;
  if (document === null || !('manifests' in document || 'layers' in document)) return null;
  return {
    manifests: digestsIn(document.manifests),
    blobs: [...digestsIn([document.config]), ...digestsIn(document.layers)],
  };
}

/** The compressed layers of an image that is kept as it came, with their sizes. */
export function packedBlobs(store: Store, digest: Digest): [Digest, number][] {
  return digestsIn(readDocument(store, digest)?.layers).flatMap((layer) => {
    const blob = store.database.blob(layer);
    return blob === null ? [] : [[layer, blob.size]];
  });
}

/** Of what is attested about an image, of an image that is kept as it came, of an index in an index. */
function partsPresent(store: Store, document: Readonly<Record<string, unknown>> | null): boolean {
  const { database } = store;
  const parts = [...digestsIn([document?.config]), ...digestsIn(document?.layers), ...digestsIn(document?.manifests)];
  return parts.every((part) => database.blob(part) !== null || database.layer(part as DiffId) !== null);
}

/** Entries of an index; for the platform 'unknown' there is no image, but what is attested about one. */
function entriesOf(document: Readonly<Record<string, unknown>> | null): { digest: Digest; isImage: boolean }[] {
  const entries: unknown[] = Array.isArray(document?.manifests) ? document.manifests : [];
  return entries.flatMap((entry) => {
    const isAbout = isObject(entry) && isObject(entry.platform) && entry.platform.architecture === 'unknown';
    return digestsIn([entry]).map((digest) => ({ digest, isImage: !isAbout }));
  });
}

function addBlobs(store: Store, descriptors: unknown, into: Reached): void {
  for (const digest of digestsIn(descriptors)) if (store.database.blob(digest) !== null) into.blobs.add(digest);
}

function addLayer(store: Store, diffId: DiffId, into: Reached): void {
  if (into.layers.has(diffId)) return;
  into.layers.add(diffId);
  for (const { digest } of store.database.compressions(diffId)) {
    if (into.spare?.has(digest) !== true) into.blobs.add(digest);
  }
}

function readDocument(store: Store, digest: Digest): Readonly<Record<string, unknown>> | null {
  try {
    const text = readFileSync(blobFile(store.dir, digest), 'utf8');
    const value: unknown = /^\s*\{/.test(text) ? JSON.parse(text) : null;
    return isObject(value) ? value : null;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || error instanceof SyntaxError) return null;
    throw readFailure('blob', digest, error);
  }
}

function digestsIn(list: unknown): Digest[] {
  if (!Array.isArray(list)) return [];
  return stringsIn(list.map((each: unknown) => (isObject(each) ? each.digest : null))).map(parseDigest);
}

function stringsIn(list: unknown): string[] {
  if (!Array.isArray(list)) return [];
  return list.filter((each): each is string => typeof each === 'string' && /^sha256:[0-9a-f]{64}$/.test(each));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
