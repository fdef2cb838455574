// A ceiling for the whole store, held after a build: the build cache gives way until everything fits, images never do.
import type { Host } from '#native';
import type { Digest } from '../words.js';
import { entryBytes, listCacheEntries } from './cache-entries.js';
import { diskBytes } from './disk-bytes.js';
import { collectGarbage, type Freed } from './garbage.js';
import type { Store } from './handle.js';
import { openLease } from './lease.js';
import type { PrunePolicy } from './prune-policy.js';

const shortlyUsedMs = 48 * 3_600_000;

/**
 * Collects garbage if the store takes more than `maxBytes`. Caches of mounts that nobody used for two days go first, then
 * whatever was not used for longest.
 *
 * @param keep what was just made, with or without a name
 * @returns null when there was room
 */
export async function enforceLimit(store: Store, maxBytes: number, keep: Digest, host: Host): Promise<Freed | null> {
  const total = diskBytes(store.dir);
  if (total <= maxBytes) return null;
  const lease = await openLease(store, 'making room', () => host);
  try {
    store.protect(keep);
    const entries = (await listCacheEntries(store)).filter(({ shared }) => !shared);
    const cache = entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
    return await collectGarbage(store, { policies: limitPolicies(Math.max(0, maxBytes - (total - cache))), host });
  } finally {
    await lease.release();
  }
}

function limitPolicies(maxUsedSpace: number): PrunePolicy[] {
  const mounts: PrunePolicy = {
    matches: ({ type }) => type === 'exec.cachemount',
    keepDurationMs: shortlyUsedMs,
    maxUsedSpace,
  };
  return [mounts, { maxUsedSpace }];
}
