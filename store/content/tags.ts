// Tags: names that point at images. The row counts; tags/<hash>.json beside it is there for rebuilding a lost database.
import { randomUUID } from 'node:crypto';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { StoreError } from '../errors.js';
import type { Digest } from '../words.js';
import { storeFault } from './faults.js';
import type { Store } from './handle.js';
import { tagFile, tagsDir } from './paths.js';
import type { TagRow } from './schema.js';

/**
 * Points `reference` at the manifest or image index `digest`.
 *
 * @throws StoreError IMAGE_MISSING if the store does not hold that blob (any more)
 */
export function setTag(store: Store, reference: string, digest: Digest): void {
  store.requireWritable();
  try {
    const isThere = store.database.transaction(() => {
      if (store.database.blob(digest) === null) {
        throw new StoreError('IMAGE_MISSING', {
          message: `can't tag ${digest} as ${reference}: the store holds no such image`,
          hint: "see 'tsbuild images' for those it holds",
        });
      }
      if (store.database.touchTag(reference, digest)) return true;
      store.database.putTag(reference, digest);
      return false;
    });
    if (!isThere || !existsSync(tagFile(store.dir, reference))) copyTag(store, reference, digest);
  } catch (error) {
    throw storeFault(error, store.dir);
  }
}

/** The digest `reference` points at, or null. */
export function getTag(store: Store, reference: string): Digest | null {
  return store.database.tag(reference)?.digest ?? null;
}

/** All tags, by reference. */
export function listTagRows(store: Store): TagRow[] {
  return store.database.tags();
}

/** Removes a tag; its image stays until garbage is collected. False if there was none. */
export function deleteTag(store: Store, reference: string): boolean {
  store.requireWritable();
  // The copy first: killed in between, what is left is a tag without a copy, never a copy that brings the tag back.
  rmSync(tagFile(store.dir, reference), { force: true });
  return store.database.deleteTag(reference);
}

/** Writes the copy of a tag; where others set or removed it meanwhile, whoever comes last finds that, and follows. */
function copyTag(store: Store, reference: string, digest: Digest): void {
  for (let written: Digest | null = digest; written !== null; ) {
    writeTagFile(store, reference, written);
    const now = getTag(store, reference);
    if (now === written) return;
    written = now;
  }
  rmSync(tagFile(store.dir, reference), { force: true });
}

/** Writes the copy beside the database; a reader sees the old one or the new one. */
export function writeTagFile(store: Store, reference: string, digest: Digest): void {
  const temp = `${tagsDir(store.dir)}/${randomUUID()}.new`;
  try {
    writeFileSync(temp, `${JSON.stringify({ reference, digest })}\n`, { mode: 0o600 });
    renameSync(temp, tagFile(store.dir, reference));
  } catch (error) {
    rmSync(temp, { force: true });
    throw error;
  }
}
