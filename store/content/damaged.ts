// What is said of an object whose bytes are not what they should be.
import { StoreError } from '../errors.js';
import type { Digest } from '../words.js';
import type { Store } from './handle.js';

/** @param users references of the tags that need it */
export function damagedObject(
  store: Store,
  kind: 'blob' | 'layer',
  digest: Digest,
  reason: string,
  users: readonly string[],
): StoreError {
  const needed = users.length === 0 ? '' : ` (needed by ${users.join(', ')})`;
  return new StoreError(kind === 'blob' ? 'BLOB_DAMAGED' : 'LAYER_DAMAGED', {
    message: `${kind} ${digest} in store ${store.dir} is damaged: ${reason}${needed}`,
    hint: "'tsbuild fsck --repair' fetches it again where a registry has it; else pull or build its images again. The disk may be failing",
  });
}
