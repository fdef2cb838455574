// Cache records: what a vertex with a given key made the last time.
import type { CacheRecord } from '../types.js';
import type { Store } from './handle.js';
import { findLayer } from './layer.js';

/** A record's use is noted once an hour: a look-up writes nothing as a rule. */
const noteAfterMs = 3_600_000;

/** The record for `key`; null if there is none, or its layer is gone. The open leases of `store` hold the layer from now on. */
export function lookupCache(store: Store, key: string): CacheRecord | null {
  const row = store.database.cache.find(key);
  if (row === null || (row.diffId !== null && findLayer(store, row.diffId) === null)) return null;
  if (!store.readOnly && Math.abs(Date.now() - row.usedMs) > noteAfterMs) store.database.cache.touch(key);
  return { diffId: row.diffId, inputs: JSON.parse(row.inputs) as unknown, createdMs: row.createdMs };
}

/** What a record is made from; `createdMs` is now unless the maker has already told somebody another time. */
type NewCacheRecord = Omit<CacheRecord, 'createdMs'> & { readonly createdMs?: number };

/** @throws StoreError STORE_READ_ONLY, STORE_FULL */
export function recordCache(store: Store, key: string, record: NewCacheRecord): void {
  store.requireWritable();
  const { diffId, inputs, createdMs } = record;
  store.database.cache.put(key, diffId, JSON.stringify(inputs ?? null), createdMs ?? Date.now());
}

/**
 * Records unless there is a record already, whose layer is held then.
 *
 * @param isUsable false for a record that the new one replaces
 * @returns the record that is there: `record` itself if it was the first
 * @throws StoreError STORE_READ_ONLY, STORE_FULL
 */
export function adoptCache<T extends CacheRecord>(
  store: Store,
  key: string,
  record: T,
  isUsable: (known: CacheRecord) => boolean = () => true,
): T | CacheRecord {
  return store.database.transaction(() => {
    const known = lookupCache(store, key);
    if (known !== null && isUsable(known)) return known;
    recordCache(store, key, record);
    return record;
  });
}
