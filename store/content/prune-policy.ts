// What of the build cache goes, decided by ordered policies. Pure: no I/O, no clock.
//
// Each policy is about the entries that it matches, and removes the longest unused first: all that are older than its
// keepDuration, or, where it names a size, as many of them as bring the whole cache down to that size. An entry never stays
// because another was made from it: a limit would not be one.
import type { CacheEntry } from './cache-entries.js';

const dayMs = 86_400_000;

export interface PrunePolicy {
  /** What it is about; everything if left out. */
  matches?(entry: CacheEntry): boolean;
  /** What was used within this time stays, whatever the sizes say. */
  readonly keepDurationMs?: number | undefined;
  /** So many bytes of the cache are never too much. */
  readonly reservedSpace?: number | undefined;
  /** More bytes of the cache than this are too much. */
  readonly maxUsedSpace?: number | undefined;
  /** The disk should have so many bytes free. */
  readonly minFreeSpace?: number | undefined;
}

/** What nobody used for two days of cache mounts and compressed layers goes first, then whatever was not used for longest. */
export function limitPolicies(limits: PrunePolicy): readonly PrunePolicy[] {
  const isCheap: PrunePolicy['matches'] = ({ type }) => type !== 'regular';
  return [{ ...limits, matches: isCheap, keepDurationMs: 2 * dayMs }, limits];
}

/**
 * Limits where nothing is said: a fifth of the disk stays free, and the cache takes four fifths of it and 100 GB at most, but
 * may keep a tenth of it and 10 GB in any case. The same that BuildKit's daemon has.
 */
export function automaticPolicies(diskBytes: number): readonly PrunePolicy[] {
  return limitPolicies({
    reservedSpace: Math.min(diskBytes * 0.1, 10e9),
    maxUsedSpace: Math.min(diskBytes * 0.8, 100e9),
    minFreeSpace: diskBytes * 0.2,
  });
}

/** What a collection does that a person asks for, and where nothing is said: what nobody used for 30 days goes too. */
export function defaultPolicies(diskBytes: number): readonly PrunePolicy[] {
  return [...automaticPolicies(diskBytes), { keepDurationMs: 30 * dayMs }];
}

export interface Verdict {
  readonly entry: CacheEntry;
  readonly removed: boolean;
  /** For people: 'used within 30 days'. */
  readonly why: string;
}

/** The state of the machine that sizes are held against. */
export interface PruneFacts {
  readonly nowMs: number;
  /** Free on the store's disk; asked only where a policy wants to know. */
  freeBytes(): number;
  /** What removing the entry gives back; asked only where a policy names a size. */
  bytesOf(entry: CacheEntry): number;
}

/** One verdict an entry, in their order. */
export function judge(
  entries: readonly CacheEntry[],
  policies: readonly PrunePolicy[],
  facts: PruneFacts,
): readonly Verdict[] {
  const verdicts = new Map<CacheEntry, Verdict>(
    entries.map((entry) => [entry, { entry, removed: false, why: 'no policy is about it' }]),
  );
  const left = (): CacheEntry[] => entries.filter((entry) => !verdicts.get(entry)!.removed);
  let freed = 0;
  for (const policy of policies) {
    const limit = limitOf(policy, left(), facts, freed);
    let excess = limit === null ? 0 : limit.total - limit.bytes;
    for (const entry of longestUnusedFirst(left().filter((each) => policy.matches?.(each) ?? true))) {
      const why = whyKept(entry, policy, facts.nowMs, limit === null ? null : excess);
      verdicts.set(entry, { entry, removed: why === null, why: why ?? whyRemoved(policy, limit !== null) });
      if (why !== null || limit === null) continue;
      excess -= facts.bytesOf(entry);
      freed += facts.bytesOf(entry);
    }
  }
  return entries.map((entry) => verdicts.get(entry)!);
}

/** The size that a policy wants the cache to have, and that it has; null for a policy without sizes. */
function limitOf(
  { reservedSpace = 0, maxUsedSpace, minFreeSpace }: PrunePolicy,
  entries: readonly CacheEntry[],
  facts: PruneFacts,
  freed: number,
): { readonly bytes: number; readonly total: number } | null {
  if (reservedSpace === 0 && maxUsedSpace === undefined && minFreeSpace === undefined) return null;
  const total = entries.reduce((sum, entry) => sum + facts.bytesOf(entry), 0);
  const missing = minFreeSpace === undefined ? 0 : minFreeSpace - facts.freeBytes() - freed;
  const upper = maxUsedSpace ?? (minFreeSpace === undefined ? reservedSpace : Number.POSITIVE_INFINITY);
  const wanted = missing > 0 ? Math.min(upper, total - missing) : upper;
  return { bytes: Math.max(wanted, reservedSpace), total };
}

/** @param excess bytes by which the cache is too large; null: sizes don't matter */
function whyKept(entry: CacheEntry, policy: PrunePolicy, nowMs: number, excess: number | null): string | null {
  if (entry.inUse) return 'in use';
  const { keepDurationMs = 0 } = policy;
  if (keepDurationMs > 0 && nowMs - entry.usedMs < keepDurationMs) return `used within ${inWords(keepDurationMs)}`;
  if (excess === null) return entry.type === 'blob.compressed' && entry.shared ? 'an image names it' : null;
  if (excess <= 0) return 'within the limit';
  return entry.shared ? 'an image has its files: removing it would free nothing' : null;
}

function whyRemoved({ keepDurationMs = 0 }: PrunePolicy, limited: boolean): string {
  const unused = keepDurationMs > 0 ? `not used for ${inWords(keepDurationMs)}` : '';
  if (!limited) return unused || 'everything was to go';
  return unused === '' ? 'the cache is larger than its limit' : `${unused}, and the cache is larger than its limit`;
}

function longestUnusedFirst(entries: readonly CacheEntry[]): CacheEntry[] {
  return [...entries].sort((a, b) => a.usedMs - b.usedMs || a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1));
}

function inWords(ms: number): string {
  const units: readonly (readonly [ms: number, word: string])[] = [
    [86_400_000, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1000, 'second'],
  ];
  const [size, word] = units.find(([unit]) => ms >= unit && ms % unit === 0) ?? [1000, 'second'];
  const count = Math.round((ms / size) * 10) / 10;
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
