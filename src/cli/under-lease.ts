import { type Lease, openLease, type Store } from '#store';
import { unlessInterrupted } from '../base/index.js';
import type { Cli } from './cli.js';

/** Does `work` under a lease of the store. When a person interrupts it, what it left unfinished goes with the lease. */
export async function underLease<T>(
  cli: Cli,
  store: Store,
  purpose: string,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  const lease = await openLease(store, purpose);
  try {
    return await unlessInterrupted(work(lease), cli.signal);
  } finally {
    await lease.release();
  }
}
