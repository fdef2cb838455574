import { type Lease, openLease, openReadingLease, type Store } from '#store';
import { unlessInterrupted } from '../base/index.js';
import type { Cli } from './cli.js';

/** Does `work` under a lease of the store. When a person interrupts it, what it left unfinished goes with the lease. */
export async function underLease<T>(
  cli: Cli,
  store: Store,
  purpose: string,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  return under(cli, await openLease(store, purpose), work);
}

/** The same for work that reads only, from a store that can't be written to, too. */
export async function underReadingLease<T>(
  cli: Cli,
  store: Store,
  purpose: string,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  return under(cli, await openReadingLease(store, purpose), work);
}

async function under<T>(cli: Cli, lease: Lease, work: (lease: Lease) => Promise<T>): Promise<T> {
  try {
    return await unlessInterrupted(work(lease), cli.signal);
  } finally {
    await lease.release();
  }
}
