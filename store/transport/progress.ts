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
  await inLanes(Math.min(limit, items.length), () => (next < items.length ? { item: items[next++] as T } : null), work);
}

/**
 * As inParallel, largest first, since the largest decides when all is done; but one lane takes the smallest first, so that small
 * ones don't wait until every large one is through.
 */
export async function largestFirst<T>(
  items: readonly T[],
  limit: number,
  sizeOf: (item: T) => number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items].sort((a, b) => sizeOf(b) - sizeOf(a));
  const take = (lane: number): { item: T } | null => {
    if (queue.length === 0) return null;
    return { item: (lane === 0 && limit > 1 ? queue.pop() : queue.shift()) as T };
  };
  await inLanes(Math.min(limit, items.length), take, work);
}

async function inLanes<T>(
  count: number,
  take: (lane: number) => { readonly item: T } | null,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let failed = false;
  const run = async (lane: number): Promise<void> => {
    for (let taken = take(lane); taken !== null && !failed; taken = take(lane)) {
      try {
        await work(taken.item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: count }, (_, lane) => run(lane)));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
