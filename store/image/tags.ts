// Names of a store's images, and what removing one means.
import type { Store } from '../content/handle.js';
import { indexedImages, packedBlobs } from '../content/image-objects.js';
import { deleteTag, getTag, listTagRows, setTag } from '../content/tags.js';
import { StoreError } from '../errors.js';
import type { Digest } from '../words.js';
import { familiarName, formatReference, parseReference, type Reference } from './reference.js';

export interface Tag {
  /** Full form: 'docker.io/library/app:1'. */
  readonly reference: string;
  readonly digest: Digest;
  readonly updatedMs: number;
}

/** An image and the names it has. */
export interface ListedImage {
  readonly digest: Digest;
  readonly configDigest: Digest;
  /** Familiar names, sorted. */
  readonly names: readonly string[];
  readonly createdMs: number;
  /** Bytes of its layers' tars. Images share layers: this is not what removing it would free. */
  readonly sizeBytes: number;
  /** Of an index: the images that it lists. */
  readonly images: readonly Digest[] | null;
}

/**
 * Gives an image a name, taking it from the image that had it.
 *
 * @throws StoreError REFERENCE_INVALID, TAG_NEEDED, IMAGE_MISSING
 */
export function tagImage(store: Store, reference: Reference | string, digest: Digest): void {
  store.protect(digest);
  setTag(store, tagName(reference), digest);
}

/** The image that a name (or 'name@sha256:…', or a digest by itself) stands for; null if there is none. */
export function resolveTag(store: Store, reference: Reference | string): Digest | null {
  const parsed = typeof reference === 'string' ? parseReference(reference) : reference;
  if (parsed.digest === undefined) return getTag(store, tagName(parsed));
  const known = store.database.image(parsed.digest) !== null || indexedImages(store, parsed.digest) !== null;
  return known ? parsed.digest : null;
}

export function listTags(store: Store): Tag[] {
  return listTagRows(store);
}

/** False if there was no such name. Its image stays until garbage is collected. */
export function untag(store: Store, reference: Reference | string): boolean {
  return deleteTag(store, tagName(reference));
}

/**
 * All images, newest first; those that lost their names too. Of those in an index that has a name, the index; its bytes are
 * those of the images whose layers are here, and of the blobs that others are kept as.
 */
export function listImages(store: Store): ListedImage[] {
  const { database } = store;
  const names = new Map<Digest, string[]>();
  const updated = new Map<Digest, number>();
  for (const tag of listTags(store)) {
    names.set(tag.digest, [...(names.get(tag.digest) ?? []), familiarName(tag.reference)]);
    updated.set(tag.digest, Math.min(tag.updatedMs, updated.get(tag.digest) ?? tag.updatedMs));
  }
  const rows = new Map(database.images().map((row) => [row.digest, row]));
  const sizes = new Map(database.layers().map((layer) => [layer.diffId, layer.size]));
  const inIndex = new Set<Digest>();
  const indexes: ListedImage[] = [];
  for (const [digest, itsNames] of names) {
    const children = rows.has(digest) ? null : indexedImages(store, digest);
    if (children === null) continue;
    for (const child of children) inIndex.add(child);
    const unpacked = children.flatMap((child) => rows.get(child) ?? []);
    const layers = new Set(unpacked.flatMap((row) => row.layers));
    const packed = children.filter((child) => !rows.has(child)).flatMap((child) => packedBlobs(store, child));
    indexes.push({
      digest,
      configDigest: unpacked[0]?.configDigest ?? digest,
      names: itsNames.sort(),
      createdMs: Math.min(...unpacked.map((row) => row.createdMs), updated.get(digest)!),
      sizeBytes: sum([...layers].map((id) => sizes.get(id) ?? 0)) + sum([...new Map(packed).values()]),
      images: children,
    });
  }
  const single = [...rows.values()]
    .filter(({ digest }) => !inIndex.has(digest) || names.has(digest))
    .map(({ digest, configDigest, layers, createdMs }) => ({
      digest,
      configDigest,
      names: (names.get(digest) ?? []).sort(),
      createdMs,
      sizeBytes: sum([...new Set(layers)].map((id) => sizes.get(id) ?? 0)),
      images: null,
    }));
  return [...indexes, ...single.reverse()].sort((a, b) => b.createdMs - a.createdMs);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

export interface Removal {
  /** Full forms of the names that went. */
  readonly untagged: readonly string[];
  /** The image that went with its last name; its layers go when garbage is collected. */
  readonly deleted: Digest | null;
}

/**
 * What `rmi` does. A name is taken away, and the image with its last name; an image given by (the start of) its digest
 * goes with its only name, or with all of them if `force`.
 *
 * @throws StoreError IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS_ID, IMAGE_HAS_TAGS, IMAGE_IN_INDEX
 */
export function removeImage(store: Store, text: string, options: { readonly force?: boolean } = {}): Removal {
  store.requireWritable();
  const { digest, name } = findImage(store, text);
  const names = namesOf(store, digest);
  if (name === null && names.length > 1 && !options.force) {
    throw new StoreError('IMAGE_HAS_TAGS', {
      message: `${text} has ${names.length} names: ${names.map(familiarName).join(', ')}`,
      hint: 'remove it by name, or all of them at once with --force',
    });
  }
  if (name === null && names.length === 0) requireInNoIndex(store, text, digest);
  const untagged = name === null ? names : [name];
  for (const each of untagged) deleteTag(store, each);
  const deleted = store.database.transaction(() => {
    if (namesOf(store, digest).length > 0) return false;
    store.database.deleteImage(digest);
    const inUse = new Set(namedIndexes(store).flatMap(({ images }) => images));
    for (const child of indexedImages(store, digest) ?? []) {
      if (namesOf(store, child).length === 0 && !inUse.has(child)) store.database.deleteImage(child);
    }
    return true;
  });
  return { untagged, deleted: deleted ? digest : null };
}

/** @throws StoreError IMAGE_IN_INDEX */
function requireInNoIndex(store: Store, text: string, digest: Digest): void {
  const index = namedIndexes(store).find(({ images }) => images.includes(digest));
  if (index === undefined) return;
  throw new StoreError('IMAGE_IN_INDEX', {
    message: `${text} is one of the images of ${familiarName(index.reference)}`,
    hint: `remove that, or make an index without it: tsbuild manifest remove ${familiarName(index.reference)} ${digest}`,
  });
}

function namedIndexes(store: Store): { readonly reference: string; readonly images: readonly Digest[] }[] {
  return listTagRows(store).flatMap(({ reference, digest }) => {
    const images = indexedImages(store, digest);
    return images === null ? [] : [{ reference, images }];
  });
}

function namesOf(store: Store, digest: Digest): string[] {
  return listTagRows(store)
    .filter((tag) => tag.digest === digest)
    .map((tag) => tag.reference);
}

/**
 * The image that a user means: by name, or by the first 4 or more digits of its digest or its config's digest.
 *
 * @throws StoreError IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS_ID, REFERENCE_INVALID
 */
export function findImage(store: Store, text: string): { readonly digest: Digest; readonly name: string | null } {
  const byId = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(text)?.[1];
  // A name wins over an id that looks like one.
  const reference =
    byId !== undefined && (byId.length === 64 || text.startsWith('sha256:')) ? null : parseReference(text);
  if (reference !== null) {
    const digest = resolveTag(store, reference);
    if (digest !== null) return { digest, name: reference.digest === undefined ? formatReference(reference) : null };
  }
  const found = byId === undefined ? [] : imagesById(store, byId);
  if (found.length === 1) return { digest: found[0]!, name: null };
  if (found.length > 1) {
    throw new StoreError('IMAGE_AMBIGUOUS_ID', {
      message: `${text} is the start of ${found.length} ids`,
      hint: 'give more digits',
    });
  }
  throw new StoreError('IMAGE_NOT_FOUND', {
    message: `the store has no image ${JSON.stringify(text.slice(0, 300))}`,
    hint: "'tsbuild images' lists what it has",
  });
}

function imagesById(store: Store, hex: string): Digest[] {
  const prefix = `sha256:${hex}`;
  const images = store.database
    .images()
    .filter((row) => row.digest.startsWith(prefix) || row.configDigest.startsWith(prefix))
    .map((row) => row.digest);
  // An index has no row: it is found by a name that it has, or by its whole digest.
  const indexes = [...listTags(store).map(({ digest }) => digest), ...(hex.length === 64 ? [prefix as Digest] : [])];
  const found = indexes.filter((digest) => digest.startsWith(prefix) && indexedImages(store, digest) !== null);
  return [...new Set([...images, ...found])];
}

/** @throws StoreError TAG_NEEDED: a name by digest can't be given to an image */
function tagName(reference: Reference | string): string {
  const parsed = typeof reference === 'string' ? parseReference(reference) : reference;
  if (parsed.tag === undefined || parsed.digest !== undefined) {
    throw new StoreError('TAG_NEEDED', {
      message: `${familiarName(parsed)} names an image by its digest`,
      hint: "a tag is written 'name:tag'",
    });
  }
  return formatReference(parsed);
}
