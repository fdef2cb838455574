// What a repository has. Its tags and the manifests that clients put there are its roots; it has what they lead to, and the
// blobs that were sent to it. So a digest that is known says nothing: what only another repository has is not found in this one.
import { existsSync } from 'node:fs';
import { readBlob } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { namedIn } from '../content/image-objects.js';
import { blobFile, tarPath } from '../content/paths.js';
import type { DiffId, Digest } from '../words.js';
import type { Repository } from './repository-names.js';

interface Contents {
  readonly manifests: ReadonlySet<Digest>;
  readonly blobs: ReadonlySet<Digest>;
}

/** A file with exactly these bytes. */
export interface StoredFile {
  readonly digest: Digest;
  readonly path: string;
  readonly size: number;
  /** A blob can be taken out of use when it is found damaged; a layer's tar is the layer. */
  readonly kind: 'blob' | 'tar';
}

export interface HeldTag {
  readonly reference: string;
  readonly digest: Digest;
  readonly updatedMs: number;
}

const mostRoots = 20_000;

export class Holdings {
  readonly #store: Store;
  /** What a root leads to never changes. */
  readonly #contents = new Map<Digest, Contents>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** By name; where several references of the store stand for one tag, that which was set last. */
  tags(repository: Repository): Map<string, HeldTag> {
    const tags = new Map<string, HeldTag>();
    for (const spelling of repository.spellings) {
      for (const row of this.#store.database.tagsUnder(`${spelling}:`)) {
        const tag = row.reference.slice(spelling.length + 1);
        if ((tags.get(tag)?.updatedMs ?? -1) <= row.updatedMs) tags.set(tag, row);
      }
    }
    return tags;
  }

  tag(repository: Repository, tag: string): Digest | null {
    const rows = repository.spellings.flatMap((spelling) => this.#store.database.tag(`${spelling}:${tag}`) ?? []);
    rows.sort((a, b) => b.updatedMs - a.updatedMs);
    return rows[0]?.digest ?? null;
  }

  /** Also with nothing in it but blobs, as before the first manifest and after the last one. */
  exists(repository: Repository): boolean {
    return this.#roots(repository).length > 0 || this.#store.database.repositories.hasBlobs(repository.key);
  }

  hasManifest(repository: Repository, digest: Digest): boolean {
    return this.#roots(repository).some((root) => this.#contentsOf(root).manifests.has(digest));
  }

  hasBlob(repository: Repository, digest: Digest): boolean {
    return this.#store.database.repositories.hasBlob(repository.key, digest) || this.needsBlob(repository, digest);
  }

  /** True if a manifest of the repository names the blob. */
  needsBlob(repository: Repository, digest: Digest): boolean {
    return this.#roots(repository).some((root) => this.#contentsOf(root).blobs.has(digest));
  }

  /** True if an index of the repository names the manifest. */
  isInIndex(repository: Repository, digest: Digest): boolean {
    return this.#roots(repository).some((root) => root !== digest && this.#contentsOf(root).manifests.has(digest));
  }

  /** Bytes of all that the repository has, each blob once. */
  bytes(repository: Repository): number {
    const all = new Set(this.#store.database.repositories.blobs(repository.key));
    for (const root of this.#roots(repository)) {
      const { manifests, blobs } = this.#contentsOf(root);
      for (const digest of [...manifests, ...blobs]) all.add(digest);
    }
    return [...all].reduce((sum, digest) => sum + (this.file(digest)?.size ?? 0), 0);
  }

  /** Where the bytes lie: as a blob, or as a layer that is stored as it is. */
  file(digest: Digest): StoredFile | null {
    const { database, dir } = this.#store;
    const blob = database.blob(digest);
    const path = blobFile(dir, digest);
    if (blob !== null && existsSync(path)) return { digest, path, size: blob.size, kind: 'blob' };
    const diffId = digest as DiffId;
    const layer = database.layer(diffId);
    const tar = tarPath(dir, diffId);
    return layer !== null && existsSync(tar) ? { digest, path: tar, size: layer.size, kind: 'tar' } : null;
  }

  /** True if every part of the manifest or index is here in the form that it names. */
  isWhole(digest: Digest): boolean {
    const named = namedIn(this.#store, digest);
    if (named === null) return false;
    return named.blobs.every((blob) => this.file(blob) !== null) && named.manifests.every((each) => this.isWhole(each));
  }

  async document(digest: Digest): Promise<Buffer> {
    return readBlob(this.#store, digest);
  }

  #roots(repository: Repository): Digest[] {
    const tagged = [...this.tags(repository).values()].map(({ digest }) => digest);
    return [...tagged, ...this.#store.database.repositories.manifests(repository.key)];
  }

  #contentsOf(root: Digest): Contents {
    const known = this.#contents.get(root);
    if (known !== undefined) return known;
    const manifests = new Set<Digest>();
    const blobs = new Set<Digest>();
    const open = [root];
    let isWhole = true;
    for (let digest = open.pop(); digest !== undefined; digest = open.pop()) {
      if (manifests.has(digest)) continue;
      const named = namedIn(this.#store, digest);
      if (named === null) {
        isWhole = false; // it may come yet
        continue;
      }
      manifests.add(digest);
      for (const blob of named.blobs) blobs.add(blob);
      // The tars of its layers, which a manifest of another form may name.
      for (const diffId of this.#store.database.image(digest)?.layers ?? []) blobs.add(diffId);
      open.push(...named.manifests);
    }
    const contents = { manifests, blobs };
    if (isWhole) this.#remember(root, contents);
    return contents;
  }

  #remember(root: Digest, contents: Contents): void {
    if (this.#contents.size >= mostRoots) {
      const [oldest] = this.#contents.keys();
      this.#contents.delete(oldest!);
    }
    this.#contents.set(root, contents);
  }
}
