// Directories behind cache mounts: cache/mounts/<name>/, which last from build to build and are part of no layer.
//
//   root/       what steps see
//   lock        flocked while a step uses it: shared by steps that share it, exclusively by one that has it for itself
//   mount.json  what it is for
//
// A key leads to the directory <hash> and, when others have that for themselves, to <hash>-1, <hash>-2 and so on: a private
// user takes the first free one, a shared one joins another shared one, a locked one waits until one is free. Directories are
// taken, made and removed with cache/mounts/lock held, so that nobody sees a lock that is only being tried. A killed
// process leaves the locks open, and at worst a directory as its step left it. <name>/ is ours even where root/ belongs
// to a subordinate id, and can be moved.
import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FileLock, type Host, lockFile } from '#native';
import {
  type CacheMountKey,
  type CacheMountRecord,
  cacheMountName,
  cacheMountNames,
  freeName,
  readCacheMountRecord,
  type Sharing,
  writeCacheMountRecord,
} from './cache-mount-record.js';
import { withFaults } from './faults.js';
import type { Store } from './handle.js';
import { cacheMountDir, cacheMountLock, cacheMountRoot, cacheMountsDir, cacheMountsLock, trashDir } from './paths.js';

export interface CacheMountWish extends CacheMountKey {
  readonly sharing: Sharing;
  /** Where the files come from that it begins with, for people. */
  readonly origin: string | null;
  /** Makes `dir`, which does not exist, as a new cache begins. */
  fill(dir: string): Promise<void>;
}

export interface CacheMountUse {
  readonly dir: string;
  release(): void;
}

/** How a waiting user of a cache hears of it, and stops. */
export interface CacheMountWait {
  readonly host: Host;
  /** A fresh path on the store's filesystem. */
  tempPath(name: string): string;
  readonly signal: AbortSignal;
  /** Called at each look while others have it. */
  onBusy(): void;
}

const pauseMs = 50;

/**
 * A directory of this key, made when there is none to be had, and held until `release` or the end of the process.
 *
 * @throws StoreError STORE_READ_ONLY, STORE_FULL; the reason of `signal`
 */
export async function useCacheMount(store: Store, wish: CacheMountWish, wait: CacheMountWait): Promise<CacheMountUse> {
  store.requireWritable();
  mkdirSync(cacheMountsDir(store.dir), { recursive: true, mode: 0o700 });
  let made: string | null = null;
  for (;;) {
    wait.signal.throwIfAborted();
    const { use, published, busy } = await whileTaking(store.dir, () => take(store.dir, wish, made));
    if (use !== null) {
      if (made !== null && !published) await wait.host.remove([made]);
      return use;
    }
    if (busy) {
      wait.onBusy();
      await sleep(pauseMs);
    } else {
      made ??= await makeOne(store.dir, wish, wait);
    }
  }
}

async function makeOne(dir: string, wish: CacheMountWish, wait: CacheMountWait): Promise<string> {
  const made = wait.tempPath('cache-mount');
  mkdirSync(made, { mode: 0o700 });
  await withFaults(dir, () => wish.fill(join(made, 'root')));
  return made;
}

interface Taken {
  readonly use: CacheMountUse | null;
  readonly published: boolean;
  readonly busy: boolean;
}

async function take(dir: string, wish: CacheMountWish, made: string | null): Promise<Taken> {
  const first = cacheMountName(wish);
  const names = cacheMountNames(dir, first);
  const free = await takeFree(dir, names, wish);
  if (free !== null) return { use: free, published: false, busy: false };
  const busy = wish.sharing === 'locked' && names.length > 0;
  if (busy || made === null) return { use: null, published: false, busy };
  const name = freeName(first, names);
  renameSync(made, cacheMountDir(dir, name));
  const mode = wish.sharing === 'shared' ? 'shared' : 'exclusive';
  const lock = await lockFile(cacheMountLock(dir, name), mode, true);
  return { use: usedFrom(dir, name, wish, lock), published: true, busy: false };
}

/** One that others share goes before a free one: those who share see each other's files. */
async function takeFree(dir: string, names: readonly string[], wish: CacheMountWish): Promise<CacheMountUse | null> {
  let free: string | null = null;
  for (const name of names) {
    const path = cacheMountLock(dir, name);
    const own = await lockFile(path, 'exclusive', false);
    if (own !== null && wish.sharing !== 'shared') return usedFrom(dir, name, wish, own);
    own?.close();
    if (own !== null) free ??= name;
    if (own !== null || wish.sharing !== 'shared') continue;
    const joined = await lockFile(path, 'shared', false);
    if (joined !== null) return usedFrom(dir, name, wish, joined);
  }
  if (free === null) return null;
  return usedFrom(dir, free, wish, await lockFile(cacheMountLock(dir, free), 'shared', true));
}

function usedFrom(dir: string, name: string, wish: CacheMountWish, lock: FileLock | null): CacheMountUse {
  const now = Date.now();
  const createdMs = readCacheMountRecord(dir, name)?.createdMs ?? now;
  const { id, namespace, mode, uid, gid, from, origin, sharing } = wish;
  try {
    const record = { id, namespace, mode, uid, gid, from, origin, sharing, createdMs, usedMs: now };
    writeCacheMountRecord(dir, name, record);
  } catch (error) {
    lock?.close();
    throw error;
  }
  return { dir: cacheMountRoot(dir, name), release: () => lock?.close() };
}

/** Runs `action` while nobody else takes, lists or removes a cache mount's directory. */
async function whileTaking<T>(dir: string, action: () => Promise<T>): Promise<T> {
  return withFaults(dir, async () => {
    const lock = await lockFile(cacheMountsLock(dir), 'exclusive', true);
    try {
      return await action();
    } finally {
      lock?.close();
    }
  });
}

/**
 * Holds the directory `name` for whoever wants it as no step changes it; null if it is gone.
 *
 * @throws the reason of `signal`
 */
export async function holdCacheMount(
  store: Store,
  name: string,
  wait: Pick<CacheMountWait, 'signal' | 'onBusy'>,
): Promise<CacheMountUse | null> {
  for (;;) {
    wait.signal.throwIfAborted();
    const { found, lock } = await whileTaking(store.dir, async () => {
      const exists = cacheMountNames(store.dir).includes(name);
      return {
        found: exists,
        lock: exists ? await lockFile(cacheMountLock(store.dir, name), 'exclusive', false) : null,
      };
    });
    if (!found) return null;
    if (lock !== null) return { dir: cacheMountRoot(store.dir, name), release: () => lock.close() };
    wait.onBusy();
    await sleep(pauseMs);
  }
}

/**
 * Puts a new directory in the place of `name`, or makes it the first of its key; waits while a step uses the old one.
 *
 * @throws StoreError STORE_READ_ONLY, STORE_FULL; the reason of `wait.signal`
 */
export async function replaceCacheMount(
  store: Store,
  name: string,
  wish: CacheMountWish,
  wait: CacheMountWait,
): Promise<void> {
  store.requireWritable();
  const { dir } = store;
  mkdirSync(cacheMountsDir(dir), { recursive: true, mode: 0o700 });
  const made = await makeOne(dir, wish, wait);
  for (;;) {
    wait.signal.throwIfAborted();
    const done = await whileTaking(dir, async () => {
      const exists = cacheMountNames(dir).includes(name);
      const lock = exists ? await lockFile(cacheMountLock(dir, name), 'exclusive', false) : null;
      if (exists && lock === null) return false;
      if (exists) renameSync(cacheMountDir(dir, name), join(trashDir(dir), randomUUID()));
      renameSync(made, cacheMountDir(dir, name));
      usedFrom(dir, name, wish, lock).release();
      return true;
    });
    if (done) return;
    wait.onBusy();
    await sleep(pauseMs);
  }
}

/** A cache mount's directory as it is now. */
export interface CacheMount {
  /** Of the directory, and unlike the id no other's. */
  readonly name: string;
  /** Null where nothing says what it is for. */
  readonly record: CacheMountRecord | null;
  readonly inUse: boolean;
  /** When its directory was made or replaced. */
  readonly changedMs: number;
}

/** All of them, in the order of their names. */
export async function listCacheMounts(store: Store): Promise<CacheMount[]> {
  const { dir } = store;
  if (cacheMountNames(dir).length === 0) return [];
  return whileTaking(dir, async () => {
    const mounts: CacheMount[] = [];
    for (const name of cacheMountNames(dir)) {
      const { mtimeMs: changedMs } = statSync(cacheMountDir(dir, name));
      mounts.push({ name, record: readCacheMountRecord(dir, name), inUse: await isInUse(dir, name), changedMs });
    }
    return mounts;
  });
}

/** Where a cache mount's files lie. */
export function cacheMountPath(store: Store, name: string): string {
  return cacheMountRoot(store.dir, name);
}

async function isInUse(dir: string, name: string): Promise<boolean> {
  const lock = await lockFile(cacheMountLock(dir, name), 'exclusive', false);
  lock?.close();
  return lock === null;
}

/** Moves those of `names` to the trash that no step uses; returns them. Whoever empties the trash gives the room back. */
export async function removeCacheMounts(store: Store, names: readonly string[]): Promise<string[]> {
  store.requireWritable();
  const { dir } = store;
  if (names.length === 0) return [];
  return whileTaking(dir, async () => {
    const removed: string[] = [];
    for (const name of cacheMountNames(dir).filter((each) => names.includes(each))) {
      const lock = await lockFile(cacheMountLock(dir, name), 'exclusive', false);
      if (lock === null) continue;
      try {
        renameSync(cacheMountDir(dir, name), join(trashDir(dir), randomUUID()));
        removed.push(name);
      } finally {
        lock.close();
      }
    }
    return removed;
  });
}
