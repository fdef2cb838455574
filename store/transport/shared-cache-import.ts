// Another store's cache records, asked one by one: a layer is brought when a step would come to it.
import { createHash } from 'node:crypto';
import { recordCache } from '../content/cache.js';
import type { Store } from '../content/handle.js';
import { importLayer } from '../content/import.js';
import { StoreError } from '../errors.js';
import { parseReference } from '../image/reference.js';
import type { Lease } from '../types.js';
import type { Descriptor } from '../words.js';
import { namesOfEntry } from './blob-folder.js';
import { openLayout } from './layout-import.js';
import type { RegistryOptions } from './registry-access.js';
import { openRegistry } from './registry-client.js';
import { fetchBlob, fetchDocument, fetchManifest } from './registry-fetch.js';
import { type FoundRecord, parseCacheConfig, parseCacheManifest } from './shared-cache.js';

export type CacheOrigin =
  /** `digest` of the manifest goes before the tag. */
  | { readonly kind: 'local'; readonly dir: string; readonly tag: string; readonly digest: string | undefined }
  | { readonly kind: 'registry'; readonly ref: string; readonly access: RegistryOptions };

export interface SharedCache {
  /** For messages. */
  readonly name: string;
  find(key: string): FoundRecord | null;
  /**
   * Brings the record's layer, and makes the record one of this store.
   *
   * @throws StoreError BLOB_DIGEST_MISMATCH, LAYER_DIFF_ID_MISMATCH, LAYOUT_BLOB_MISSING, REGISTRY_*: then there is no record
   */
  adopt(store: Store, lease: Lease, record: FoundRecord): Promise<void>;
  close(): void;
}

/** Reads the records. @throws StoreError LAYOUT_*, CACHE_*, REGISTRY_*, IMAGE_DOCUMENT_INVALID */
export async function openSharedCache(origin: CacheOrigin): Promise<SharedCache> {
  return origin.kind === 'local' ? openLocal(origin) : openRemote(origin);
}

async function openLocal({ dir, tag, digest }: Extract<CacheOrigin, { kind: 'local' }>): Promise<SharedCache> {
  const layout = await openLayout(dir);
  const entry = layout.index.manifests.find((each) =>
    digest === undefined ? namesOfEntry(each).includes(tag) : each.digest === digest,
  );
  if (entry === undefined) {
    throw new StoreError('CACHE_NOT_FOUND', {
      message: `${dir} has no cache ${digest ?? tag}`,
      hint: "name what 'tsbuild build --cache-to' wrote there, with tag= where that had one",
    });
  }
  const read = async (blob: Descriptor): Promise<Buffer> => verified(await layout.readDocument(blob), blob, dir);
  const { config, layers } = parseCacheManifest(await read(entry), dir);
  return sharedCache(
    dir,
    parseCacheConfig(await read(config), layers, dir),
    (blob) => layout.open(blob),
    () => {},
  );
}

async function openRemote({ ref, access }: Extract<CacheOrigin, { kind: 'registry' }>): Promise<SharedCache> {
  const reference = parseReference(ref);
  const registry = await openRegistry(reference, 'pull', access);
  try {
    const { bytes } = await fetchManifest(registry, reference.digest ?? reference.tag ?? 'latest');
    const { config, layers } = parseCacheManifest(bytes, ref);
    const records = verified(await fetchDocument(registry, config.digest), config, ref);
    const found = parseCacheConfig(records, layers, ref);
    return sharedCache(
      ref,
      found,
      (blob) => fetchBlob(registry, blob),
      () => registry.close(),
    );
  } catch (error) {
    registry.close();
    throw error;
  }
}

function sharedCache(
  name: string,
  records: ReadonlyMap<string, FoundRecord>,
  open: (blob: Descriptor) => AsyncIterable<Uint8Array>,
  close: () => void,
): SharedCache {
  return {
    name,
    find: (key) => records.get(key) ?? null,
    async adopt(store, lease, { key, diffId, createdMs, blob }) {
      if (diffId !== null && blob !== null) {
        // What has its diffID for a name is the tar itself: the diffID says it all.
        const form = blob.digest === diffId ? {} : { blob };
        await importLayer(store, lease, open(blob), { expectDiffId: diffId, ...form });
      }
      recordCache(store, key, { diffId, inputs: null, createdMs: Math.min(createdMs, Date.now()) });
    },
    close,
  };
}

function verified(bytes: Buffer, { digest, size }: Descriptor, name: string): Buffer {
  const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (found === digest && bytes.length === size) return bytes;
  throw new StoreError('BLOB_DIGEST_MISMATCH', {
    message: `${name}: the bytes for ${digest} hash to ${found}`,
    hint: 'the cache was altered, or its source is damaged: write it anew',
  });
}
