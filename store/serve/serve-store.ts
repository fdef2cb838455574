// The door to the server, which is loaded when a store is served: no other command needs it.
import type { Store } from '../content/handle.js';
import type { ServeOptions, Serving } from './serve-options.js';

/**
 * Serves `store` by the OCI distribution protocol until `close`.
 *
 * @throws StoreError SERVE_*: an address that can't be had, files that can't be read or make no sense
 */
export async function serveStore(store: Store, options: ServeOptions): Promise<Serving> {
  const { startServing } = await import('./serve.js');
  return startServing(store, options);
}
