// Manifests in the form in which they can be served. An image that came from a registry names compressed layers, of which the
// store keeps the tars: then what is served under its tags is a manifest of the same config over those tars, made
// the same way every time. Manifests that clients put, and those of images that were built here, are served byte for byte.
import type { Store } from '../content/handle.js';
import { parseImageDocument } from '../image/document.js';
import { encodeManifest, uncompressed } from '../image/images.js';
import { isAttestation } from '../image/platform.js';
import { sha256 } from '../image/resolve.js';
import { canonicalJson } from '../image/strict-json.js';
import { type Descriptor, type Digest, type ImageIndex, type Manifest, mediaTypes } from '../words.js';
import type { Holdings } from './holdings.js';
import type { Repository } from './repository-names.js';

export interface ServedManifest {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly mediaType: string;
}

const mostMade = 1000;

export class ManifestForms {
  readonly #store: Store;
  readonly #holdings: Holdings;
  /** By their own digests, and which manifest of the store each stands for. */
  readonly #made = new Map<Digest, ServedManifest & { readonly of: Digest }>();

  constructor(store: Store, holdings: Holdings) {
    this.#store = store;
    this.#holdings = holdings;
  }

  /** @throws StoreError BLOB_MISSING, BLOB_DAMAGED, IMAGE_* */
  async byTag(digest: Digest): Promise<ServedManifest> {
    const bytes = await this.#holdings.document(digest);
    const document = parseImageDocument(bytes, digest);
    const made =
      document.kind === 'index'
        ? await this.#indexOver(document.index, digest)
        : await this.#imageOver(document.manifest, digest);
    return made ?? { digest, bytes, mediaType: mediaTypeOf(document) };
  }

  /** Null where the repository has no manifest of that digest. */
  async byDigest(repository: Repository, digest: Digest): Promise<ServedManifest | null> {
    if (this.#holdings.hasManifest(repository, digest)) {
      // Of its layers only the tars are here: whoever got it could not go on.
      if (this.#store.database.image(digest) !== null && !this.#holdings.isWhole(digest)) return null;
      const bytes = await this.#holdings.document(digest);
      return { digest, bytes, mediaType: mediaTypeOf(parseImageDocument(bytes, digest)) };
    }
    const known = this.#made.get(digest);
    if (known !== undefined) return this.#holdings.hasManifest(repository, known.of) ? known : null;
    // Made before this server was started: whoever has the digest got it by a tag.
    for (const held of this.#holdings.tags(repository).values()) {
      if (this.#holdings.isWhole(held.digest)) continue;
      await this.byTag(held.digest);
      const found = this.#made.get(digest);
      if (found !== undefined && this.#holdings.hasManifest(repository, found.of)) return found;
    }
    return null;
  }

  async #imageOver(manifest: Manifest, digest: Digest): Promise<ServedManifest | null> {
    const row = this.#store.database.image(digest);
    if (row === null || this.#holdings.isWhole(digest)) return null;
    const layers: Descriptor[] = [];
    for (const diffId of row.layers) {
      const layer = this.#store.database.layer(diffId);
      if (layer === null) return null;
      layers.push(uncompressed({ ...layer, tarPath: '', indexPath: null }));
    }
    const config = await this.#holdings.document(row.configDigest);
    const bytes = encodeManifest(config, layers, manifest.annotations ?? {});
    return this.#remember(bytes, mediaTypes.ociManifest, digest);
  }

  async #indexOver(index: ImageIndex, digest: Digest): Promise<ServedManifest | null> {
    if (this.#holdings.isWhole(digest)) return null;
    const manifests: Descriptor[] = [];
    let isChanged = false;
    for (const entry of index.manifests) {
      const image =
        isAttestation(entry) || this.#store.database.image(entry.digest) === null
          ? null
          : await this.byTag(entry.digest);
      if (image === null || image.digest === entry.digest) manifests.push(entry);
      else {
        isChanged = true;
        manifests.push({ ...entry, mediaType: image.mediaType, digest: image.digest, size: image.bytes.length });
      }
    }
    if (!isChanged) return null;
    const { annotations } = index;
    const bytes = canonicalJson({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests,
      ...(annotations && { annotations }),
    });
    return this.#remember(bytes, mediaTypes.ociIndex, digest);
  }

  #remember(bytes: Buffer, mediaType: string, of: Digest): ServedManifest {
    const made = { digest: sha256(bytes), bytes, mediaType, of };
    this.#made.delete(made.digest);
    this.#made.set(made.digest, made);
    if (this.#made.size > mostMade) this.#made.delete(this.#made.keys().next().value!);
    return made;
  }
}

function mediaTypeOf(document: ReturnType<typeof parseImageDocument>): string {
  return document.kind === 'index'
    ? (document.index.mediaType ?? mediaTypes.ociIndex)
    : (document.manifest.mediaType ?? mediaTypes.ociManifest);
}
