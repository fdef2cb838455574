// What of the build cache goes, by its policies.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CacheEntry } from '../../store/content/cache-entries.js';
import { judge, type PrunePolicy } from '../../store/content/prune-policy.js';

const nowMs = 1_000_000_000;

type Made = Partial<CacheEntry> & { readonly bytes?: number; readonly ageMs?: number };
type Sized = CacheEntry & { readonly bytes: number };

function entry(id: string, { bytes = 100, ageMs = 0, ...facts }: Made = {}): Sized {
  const times = { createdMs: nowMs - ageMs, usedMs: nowMs - ageMs };
  const plain = { description: '', inUse: false, shared: false, mutable: false, keys: [id], paths: [] };
  return { id, type: 'regular', ...plain, ...times, bytes, ...facts };
}

function left(entries: readonly Sized[], policies: readonly PrunePolicy[], free = 0): string[] {
  const bytesOf = (each: CacheEntry): number => (each.shared ? 0 : (each as Sized).bytes);
  return judge(entries, policies, { nowMs, freeBytes: () => free, bytesOf })
    .filter(({ removed }) => !removed)
    .map((verdict) => verdict.entry.id);
}

const abc = [entry('a', { ageMs: 30 }), entry('b', { ageMs: 20 }), entry('c', { ageMs: 10 })];

describe('one policy', () => {
  for (const { says, policy, stays, free } of [
    { says: 'without limits takes all', policy: {}, stays: [] },
    { says: 'keeps what was used lately', policy: { keepDurationMs: 15 }, stays: ['c'] },
    {
      says: 'brings the cache down to its limit, longest unused first',
      policy: { maxUsedSpace: 250 },
      stays: ['b', 'c'],
    },
    { says: 'leaves what is reserved', policy: { maxUsedSpace: 50, reservedSpace: 200 }, stays: ['b', 'c'] },
    { says: 'that only reserves is a limit', policy: { reservedSpace: 100 }, stays: ['c'] },
    { says: 'makes room on the disk', policy: { minFreeSpace: 1150 }, free: 1000, stays: ['c'] },
    { says: 'leaves a disk with room alone', policy: { minFreeSpace: 900 }, free: 1000, stays: ['a', 'b', 'c'] },
    { says: 'makes room down to what is reserved', policy: { minFreeSpace: 9999, reservedSpace: 100 }, stays: ['c'] },
    { says: 'keeps its time above its limit', policy: { maxUsedSpace: 0, keepDurationMs: 25 }, stays: ['b', 'c'] },
    { says: 'is about what it matches', policy: { matches: ({ id }: CacheEntry) => id === 'b' }, stays: ['a', 'c'] },
  ]) {
    test(says, () => expect(left(abc, [policy], free)).toEqual(stays));
  }
});

test('policies come one after the other, each for what the one before left', () => {
  const policies = [{ matches: ({ id }: CacheEntry) => id === 'c' }, { maxUsedSpace: 150 }];
  expect(left(abc, policies)).toEqual(['b']);
});

test('what is in use stays, and what an image shares is no gain', () => {
  const entries = [entry('used', { ageMs: 9, inUse: true }), entry('shared', { ageMs: 8, shared: true }), entry('x')];
  expect(left(entries, [{ maxUsedSpace: 0 }])).toEqual(['used', 'shared']);
  expect(left(entries, [{}])).toEqual(['used']);
});

test('a limit holds, whatever the entries, unless what is in use or kept by its time exceeds it', () => {
  const anyEntry = fc.record({
    bytes: fc.nat(1000),
    ageMs: fc.nat(1000),
    inUse: fc.boolean(),
    shared: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(anyEntry, { maxLength: 12 }),
      fc.nat(5000),
      fc.nat(1000),
      (made, maxUsedSpace, keepDurationMs) => {
        const entries = made.map((facts, i) => entry(`${i}`, facts));
        const kept = new Set(left(entries, [{ maxUsedSpace, keepDurationMs }]));
        const sum = (list: readonly Sized[]): number =>
          list.reduce((total, { bytes, shared }) => total + (shared ? 0 : bytes), 0);
        const fixed = entries.filter(({ inUse, usedMs }) => inUse || nowMs - usedMs < keepDurationMs);
        const stays = entries.filter(({ id }) => kept.has(id));
        for (const each of fixed) expect(kept).toContain(each.id);
        expect(sum(stays)).toBeLessThanOrEqual(Math.max(maxUsedSpace, sum(fixed)));
        // Nothing goes that was used after something that could have gone in its place.
        const gone = entries.filter(({ id, bytes }) => !kept.has(id) && bytes > 0);
        const loose = stays.filter((each) => !fixed.includes(each) && !each.shared && each.bytes > 0);
        for (const one of gone) for (const other of loose) expect(one.usedMs).toBeLessThanOrEqual(other.usedMs);
      },
    ),
  );
});
