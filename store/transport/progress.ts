import type { Digest } from '../words.js';

/** How far one layer is on its way. */
export interface TransferProgress {
  /** Digest under which the layer is transferred; its diffID where it is not compressed. */
  readonly digest: Digest;
  /** 'present' and 'mounted': nothing had to be moved. */
  readonly state: 'present' | 'mounted' | 'receiving' | 'compressing' | 'sending' | 'done';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export type OnProgress = (progress: TransferProgress) => void;

/** Runs `work` for each item, at most `limit` at once; the first failure is thrown when those under way have ended. */
export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const item = items[next++] as T;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
