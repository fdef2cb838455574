// What is said of a damaged object: which one, who needs it, what to do.
import { type DamagedKind, DamageError } from '../damage.js';
import type { StoreError } from '../errors.js';
import type { Digest } from '../words.js';
import type { Store } from './handle.js';
import { neededBy } from './needed-by.js';

/** @param users references of the tags that need it */
export function damagedObject(
  store: Store,
  kind: DamagedKind,
  digest: Digest,
  reason: string,
  users: readonly string[],
): StoreError {
  const message = `${kind} ${digest} in store ${store.dir} is damaged: ${reason}`;
  return new DamageError(kind, digest, `${message}${needed(users)}`);
}

/** Adds to the message of an error, where it comes from a damaged object, which tags need that one. */
export function addUsers(store: Store, error: unknown): void {
  const damage = damageIn(error);
  if (damage === null || !(error instanceof Error) || error.message.includes('(needed by ')) return;
  error.message += needed(neededBy(store)(damage.digest));
}

function damageIn(error: unknown): DamageError | null {
  if (error instanceof DamageError) return error;
  return error instanceof Error && error.cause !== undefined ? damageIn(error.cause) : null;
}

function needed(users: readonly string[]): string {
  return users.length === 0 ? '' : ` (needed by ${users.join(', ')})`;
}
