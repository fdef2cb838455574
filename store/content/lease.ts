// Leases: who is using the store, and what must therefore stay.
//
// A lease is alive while tmp/<id>.lock is locked (flock) by the process that opened it; the lock dies with the process. Its
// directory tmp/<id>/ holds everything unfinished, its rows in meta.db name the objects it holds. Born: lock, directory,
// row. Released: directory, row, lock file, lock. A killed process leaves the lock file unlocked; whoever then gets the
// lock moves the directory to trash/ and removes the file. Rows without a live lock mean nothing, the collector drops them.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FileLock, type Host, lockFile } from '#native';
import type { Lease } from '../types.js';
import type { Digest } from '../words.js';
import { storeFault } from './faults.js';
import type { Holder, Store } from './handle.js';
import { leaseDir, leaseLock, lockPath, tmpDir, trashDir } from './paths.js';
import { discard, emptyTrash } from './trash.js';

/**
 * Begins to use the store. Layers and blobs that this handle makes or looks up from now on stay until `release`.
 *
 * @param purpose what for, in messages: 'build', 'pull'
 * @param host the host, if one is open when the lease ends: it removes what belongs to subordinate ids
 * @throws StoreError STORE_READ_ONLY, STORE_FULL
 */
export async function openLease(
  store: Store,
  purpose: string,
  host: () => Host | undefined = () => undefined,
): Promise<Lease> {
  store.requireWritable();
  try {
    const id = randomUUID();
    const lock = await lockFile(leaseLock(store.dir, id), 'exclusive', true);
    if (lock === null) throw new Error('a waiting lock came back empty');
    return new OpenLease(store, purpose, host, id, lock);
  } catch (error) {
    throw storeFault(error, store.dir);
  }
}

/**
 * A lease for who only reads: of a store that can't be written to, too. There it holds nothing, since nothing is collected there,
 * and its directory is a temporary one.
 */
export async function openReadingLease(
  store: Store,
  purpose: string,
  host: () => Host | undefined = () => undefined,
): Promise<Lease> {
  if (!store.readOnly) return openLease(store, purpose, host);
  const id = randomUUID();
  const dir = mkdtempSync(join(process.env.TMPDIR ? tmpdir() : '/var/tmp', 'tsbuild-reading-'));
  let count = 0;
  return {
    id,
    dir,
    path: (name) => pathIn(dir, ++count, name),
    release: async () => {
      await host()?.remove([dir]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function pathIn(dir: string, count: number, name: string): string {
  return join(dir, `${count}-${name.replace(/[^\w.-]/g, '_').slice(0, 100)}`);
}

class OpenLease implements Lease, Holder {
  readonly id: string;
  readonly dir: string;
  readonly #store: Store;
  readonly #host: () => Host | undefined;
  readonly #lock: FileLock;
  readonly #held = new Set<Digest>();
  #count = 0;
  #released = false;

  constructor(store: Store, purpose: string, host: () => Host | undefined, id: string, lock: FileLock) {
    this.id = id;
    this.dir = leaseDir(store.dir, id);
    this.#store = store;
    this.#host = host;
    this.#lock = lock;
    try {
      mkdirSync(this.dir, { mode: 0o700 });
      store.database.leases.put(id, purpose);
    } catch (error) {
      rmSync(this.dir, { recursive: true, force: true });
      rmSync(lock.path, { force: true });
      lock.close();
      throw error;
    }
    store.holders.add(this);
  }

  path(name: string): string {
    return pathIn(this.dir, ++this.#count, name);
  }

  hold(object: Digest): void {
    if (this.#held.has(object)) return;
    this.#store.database.leases.putRef(this.id, object);
    this.#held.add(object);
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    this.#store.holders.delete(this);
    const { dir, database } = this.#store;
    const host = this.#host();
    try {
      await discard(this.#store, this.dir, host);
      if (host?.kind === 'user') await emptyTrash(dir, host);
      database.transaction(() => database.leases.delete(this.id));
    } finally {
      rmSync(this.#lock.path, { force: true });
      this.#lock.close();
    }
  }
}

/**
 * Runs `action` with the store's lock held: shared to give files their names and rows, exclusively to take them away.
 * `action` should be short and does not await.
 */
export async function whileLocked<T>(dir: string, mode: 'shared' | 'exclusive', action: () => T): Promise<T> {
  const lock = await lockFile(lockPath(dir), mode, true);
  try {
    return action();
  } finally {
    lock?.close();
  }
}

/** True if the lease's process lives. */
export async function leaseAlive(dir: string, id: string): Promise<boolean> {
  if (!existsSync(leaseLock(dir, id))) return false;
  const lock = await lockFile(leaseLock(dir, id), 'shared', false);
  lock?.close();
  return lock === null;
}

/** Leases whose rows mean nothing any more. */
export async function findDeadLeases({ database, dir }: Store): Promise<ReadonlySet<string>> {
  const dead = new Set<string>();
  for (const { id } of database.leases.all()) if (!(await leaseAlive(dir, id))) dead.add(id);
  return dead;
}

/** Moves what dead processes left in tmp/ to the trash; true if there was something. Costs a readdir where there is nothing. */
export async function sweepLeases(dir: string): Promise<boolean> {
  let swept = false;
  for (const id of new Set(readdirSync(tmpDir(dir)).map((name) => name.replace(/\.lock$/, '')))) {
    const lock = await lockFile(leaseLock(dir, id), 'exclusive', false);
    if (lock === null) continue;
    try {
      if (existsSync(leaseDir(dir, id))) renameSync(leaseDir(dir, id), join(trashDir(dir), randomUUID()));
      rmSync(lock.path, { force: true });
      swept = true;
    } finally {
      lock.close();
    }
  }
  return swept;
}
