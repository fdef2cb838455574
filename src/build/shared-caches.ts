// --cache-from and --cache-to: results of other stores for this build, and results of this build for other stores.
import {
  type CacheOrigin,
  type CacheRecord,
  type DiffId,
  exportCache,
  openSharedCache,
  type SharedCache,
  type SharedRecord,
  StoreError,
} from '#store';
import { CodedError } from '../base/index.js';
import type { WorkVertex } from '../solver/index.js';
import type { Job } from './job.js';

export interface SharedCaches {
  /** Looks for a key where other stores keep theirs; true if this store has it now. */
  restore(vertex: WorkVertex, key: string): Promise<boolean>;
  /** Keeps in mind what a key led to in this build. */
  note(key: string, record: Pick<CacheRecord, 'diffId' | 'createdMs'>): void;
  /** Writes what this build led to. @throws StoreError of exportCache */
  write(image: readonly DiffId[]): Promise<void>;
  close(): void;
}

/** A cache that can't be read is told and done without: builds don't fail for want of one. */
export function openSharedCaches(job: Job): SharedCaches {
  const { request, io, lease } = job;
  const records = new Map<string, SharedRecord>();
  // All at once, and only when a step is not in this store's own cache.
  let opening: Promise<SharedCache[]> | undefined;
  const openAll = async (): Promise<SharedCache[]> => {
    const opened = await Promise.all(request.cacheFrom.map((origin) => openOrWarn(job, origin)));
    return opened.filter((cache) => cache !== null);
  };

  return {
    async restore(vertex, key) {
      if (request.cacheFrom.length === 0) return false;
      opening ??= openAll();
      for (const cache of await opening) {
        const found = cache.find(key);
        if (found === null || isTooOld(job, found)) continue;
        const what = `takes its result from ${cache.name}`;
        if (found.blob !== null) io.emit({ type: 'progress', vertex: vertex.id, what, done: 0, total: null });
        try {
          await cache.adopt(io.store, lease, found);
          return true;
        } catch (error) {
          warn(job, 'CACHE_NOT_USED', `${cache.name}: a result can't be used: `, error);
        }
      }
      return false;
    },
    note(key, { diffId, createdMs }) {
      records.set(key, { key, diffId, createdMs });
    },
    async write(image) {
      const inImage = new Set(image);
      for (const { target, mode, compression, ignoreError } of request.cacheTo) {
        const isWanted = ({ diffId }: SharedRecord): boolean =>
          mode === 'max' || diffId === null || inImage.has(diffId);
        const exporting = exportCache(
          io.store,
          lease,
          [...records.values()].filter(isWanted),
          target,
          compression,
          io.signal,
        );
        await exporting.catch((error: unknown) => {
          if (!ignoreError || io.signal.aborted) throw error;
          warn(job, 'CACHE_NOT_WRITTEN', 'the cache was not written: ', error);
        });
      }
    },
    close() {
      void opening?.then((caches) => {
        for (const cache of caches) cache.close();
      });
    },
  };
}

export function isTooOld({ request }: Job, { createdMs }: Pick<CacheRecord, 'createdMs'>): boolean {
  return request.cacheTtlMs !== null && Date.now() - createdMs >= request.cacheTtlMs;
}

async function openOrWarn(job: Job, origin: CacheOrigin): Promise<SharedCache | null> {
  try {
    return await openSharedCache(origin);
  } catch (error) {
    warn(job, 'CACHE_NOT_USED', '', error);
    return null;
  }
}

/** For what a person can mend; anything else goes on. */
function warn({ io }: Job, code: string, before: string, error: unknown): void {
  const isTheirs = error instanceof CodedError && !(error instanceof StoreError && error.code === 'STORE_FULL');
  if (!isTheirs) throw error;
  io.emit({ type: 'warning', code, message: before + error.message, at: undefined, hint: error.hint });
}
