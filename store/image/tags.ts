// Names of a store's images, and what removing one means.
import type { Store } from '../content/handle.js';
import { indexedImages } from '../content/image-objects.js';
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

/** All images, newest first; those that lost their names too. Of one in an index that has a name, the index. */
export function listImages(store: Store): ListedImage[] {
  const names = new Map<Digest, string[]>();
  for (const tag of listTags(store)) {
    names.set(tag.digest, [...(names.get(tag.digest) ?? []), familiarName(tag.reference)]);
  }
  const rows = new Map(store.database.images().map((row) => [row.digest, row]));
  const parents = new Map<Digest, Digest>();
  for (const digest of names.keys()) {
    if (rows.has(digest)) continue;
    for (const child of indexedImages(store, digest) ?? []) parents.set(child, digest);
  }
  const sizes = new Map(store.database.layers().map((layer) => [layer.diffId, layer.size]));
  const listed = [...rows.values()].flatMap(({ digest, configDigest, layers, createdMs }) => {
    const image = {
      configDigest,
      createdMs,
      sizeBytes: [...new Set(layers)].reduce((sum, id) => sum + (sizes.get(id) ?? 0), 0),
    };
    const parent = parents.get(digest);
    return [
      ...(parent === undefined || names.has(digest)
        ? [{ ...image, digest, names: (names.get(digest) ?? []).sort() }]
        : []),
      ...(parent === undefined ? [] : [{ ...image, digest: parent, names: (names.get(parent) ?? []).sort() }]),
    ];
  });
  return listed.reverse();
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
 * @throws StoreError IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS_ID, IMAGE_HAS_TAGS
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
  const untagged = name === null ? names : [name];
  for (const each of untagged) deleteTag(store, each);
  const deleted = store.database.transaction(() => {
    if (namesOf(store, digest).length > 0) return false;
    store.database.deleteImage(digest);
    for (const child of indexedImages(store, digest) ?? []) {
      if (namesOf(store, child).length === 0) store.database.deleteImage(child);
    }
    return true;
  });
  return { untagged, deleted: deleted ? digest : null };
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
