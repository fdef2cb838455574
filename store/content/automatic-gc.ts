// Garbage collection that nobody asks for: after something was made or fetched, where a limit is exceeded.
//
// The question costs nothing where nothing was written, and little elsewhere: the disk says what is free, the database what
// its rows account for, cache mounts are measured once a day. Only when these say that a policy may have something to remove,
// files are counted. Images without a name stay too for ten minutes: somebody who just built one has its digest.
import type { Host } from '#native';
import { entryBytes, listCacheEntries } from './cache-entries.js';
import { DiskCount } from './disk-bytes.js';
import { diskSpace } from './disk-space.js';
import { collectGarbage, type Freed } from './garbage.js';
import type { Store } from './handle.js';
import { openLease } from './lease.js';
import { cacheMountsDir } from './paths.js';
import { limitPolicies, type PrunePolicy } from './prune-policy.js';

const dayMs = 86_400_000;
const justMadeMs = 600_000;
/** After a collection that found nothing to remove, the next one is not before, unless so much more was stored. */
const futileMs = 600_000;
const growth = 1.05;

export interface AutomaticGc {
  readonly policies: readonly PrunePolicy[];
  /** The most that the whole store may take; what the build cache has gives way. */
  readonly maxStoreBytes?: number | undefined;
  /** Removes trees of subordinate ids; opened when there is something to do. */
  readonly openHost: () => Promise<Host>;
}

export interface AutomaticallyFreed {
  readonly because: 'ceiling' | 'policies';
  readonly freed: Freed;
}

/**
 * Collects garbage where what this handle wrote made the store exceed a limit.
 *
 * @returns null when there was nothing to do
 */
export async function collectWhenDue(store: Store, options: AutomaticGc): Promise<AutomaticallyFreed | null> {
  if (store.readOnly || !store.database.wrote) return null;
  const below = await ceilingPolicies(store, options.maxStoreBytes);
  const policies = below ?? duePolicies(store, options.policies);
  if (policies === null) return null;
  const host = await options.openHost();
  const lease = await openLease(store, 'automatic gc', () => host);
  try {
    for (const { digest, createdMs } of store.database.images()) {
      if (createdMs > Date.now() - justMadeMs) store.protect(digest);
    }
    const freed = await collectGarbage(store, { policies, host });
    store.database.putFact('gc', `${Date.now()}`);
    if (freed.bytes > 0) return { because: below === null ? 'policies' : 'ceiling', freed };
    store.database.putFact('gc in vain', `${Date.now()} ${accountedBytes(store)}`);
    return null;
  } finally {
    await lease.release();
  }
}

/** What brings the whole store below a ceiling; null where it is below. */
async function ceilingPolicies(store: Store, maxBytes: number | undefined): Promise<readonly PrunePolicy[] | null> {
  const total = maxBytes === undefined ? 0 : new DiskCount().bytes(store.dir);
  if (maxBytes === undefined || total <= maxBytes) return null;
  const entries = (await listCacheEntries(store)).filter(({ shared }) => !shared);
  const cache = entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
  return limitPolicies({ maxUsedSpace: Math.max(0, maxBytes - (total - cache)) });
}

/** Null where no policy can have anything to remove. */
function duePolicies(store: Store, policies: readonly PrunePolicy[]): readonly PrunePolicy[] | null {
  const { freeBytes } = diskSpace(store);
  const accounted = accountedBytes(store);
  const [vainMs, vainBytes] = noted(store, 'gc in vain');
  if (Date.now() - vainMs < futileMs && accounted <= vainBytes * growth) return null;
  const isDue = ({ reservedSpace = 0, maxUsedSpace, minFreeSpace, keepDurationMs = 0 }: PrunePolicy): boolean => {
    const isSized = reservedSpace > 0 || maxUsedSpace !== undefined || minFreeSpace !== undefined;
    if (!isSized) return keepDurationMs === 0 || Date.now() - noted(store, 'gc')[0] > dayMs;
    if (minFreeSpace !== undefined && freeBytes < minFreeSpace && accounted > reservedSpace) return true;
    const upper = maxUsedSpace ?? (minFreeSpace === undefined ? reservedSpace : Number.POSITIVE_INFINITY);
    return accounted > Math.max(upper, reservedSpace);
  };
  return policies.some(isDue) ? policies : null;
}

/** Nearly what the build cache takes, or more: what images have is in it, too. */
function accountedBytes(store: Store): number {
  const [measuredMs, bytes] = noted(store, 'cache mounts');
  if (Date.now() - measuredMs < dayMs) return store.database.objectBytes() + bytes;
  const measured = new DiskCount().bytes(cacheMountsDir(store.dir));
  store.database.putFact('cache mounts', `${Date.now()} ${measured}`);
  return store.database.objectBytes() + measured;
}

/** When, and how much. */
function noted(store: Store, fact: string): readonly [ms: number, bytes: number] {
  const [ms = 0, bytes = 0] = (store.database.fact(fact) ?? '').split(' ').map(Number);
  return [ms, bytes];
}
