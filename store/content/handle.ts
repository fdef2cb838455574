import { StoreError } from '../errors.js';
import type { Digest } from '../words.js';
import type { Database } from './database.js';

export interface StoreOptions {
  /** How layers are mounted; by default as the host can. */
  readonly form?: 'index' | 'tree' | undefined;
  /** Closing waits until everything written has reached the disk. */
  readonly sync?: boolean | undefined;
  /** Opened to make room: on a full disk the store's reserve is given up for it. */
  readonly freeing?: boolean | undefined;
  /** Told of what was found damaged and put aside while something else was done. */
  readonly onDamage?: ((error: StoreError) => void) | undefined;
  /** Layers larger than this are refused, and none below it is taken for a decompression bomb (see growth-limit.ts). */
  readonly maxLayerBytes?: number | undefined;
  /** Stands in for the kernel's boot id. */
  readonly bootId?: string | undefined;
}

/** What an open lease does for its store. */
export interface Holder {
  /** From now on `object` can't be collected. */
  hold(object: Digest): void;
}

/** An open store. Any number of processes may have the same directory open. */
export class Store {
  readonly dir: string;
  /** On a read-only filesystem, or another user's: everything can be read, writes throw STORE_READ_ONLY. */
  readonly readOnly: boolean;
  readonly database: Database;
  readonly options: StoreOptions;
  /** Leases of this handle that are open. */
  readonly holders = new Set<Holder>();
  #finish: ((store: Store) => Promise<void>) | null;

  constructor(
    parts: Pick<Store, 'dir' | 'readOnly' | 'database' | 'options'> & { finish: (store: Store) => Promise<void> },
  ) {
    this.dir = parts.dir;
    this.readOnly = parts.readOnly;
    this.database = parts.database;
    this.options = parts.options;
    this.#finish = parts.finish;
  }

  /**
   * Holds a layer or blob by the open leases of this handle, whether or not it exists. Whoever looks an object up calls this
   * first: then either the collector ran before and the look-up misses, or it will see the object held.
   */
  protect(object: Digest): void {
    for (const holder of this.holders) holder.hold(object);
  }

  /** @throws StoreError STORE_READ_ONLY */
  requireWritable(): void {
    if (!this.readOnly) return;
    throw new StoreError('STORE_READ_ONLY', {
      message: `store ${this.dir} can't be written to`,
      hint: 'its filesystem is read-only, or it belongs to another user: choose another directory with --store',
    });
  }

  /** Hands what was written to a detached flusher (or waits for the disk, see `sync`) and lets go of the database. */
  async close(): Promise<void> {
    const finish = this.#finish;
    this.#finish = null;
    await finish?.(this);
    this.database.close();
  }
}
