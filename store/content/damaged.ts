// What is said of an object whose bytes are not what they should be: which one, who needs it, what to do.
import { StoreError } from '../errors.js';
import type { Digest } from '../words.js';
import { hasCode } from './faults.js';
import type { Store } from './handle.js';
import { neededBy } from './needed-by.js';

const hint =
  "'tsbuild fsck --read-data --repair' fetches it again where a registry has it; else pull or build its images again. The disk may be failing";

/** An object of the store is not what its digest says, or can't be read. */
class DamageError extends StoreError {
  readonly digest: Digest;

  constructor(code: string, message: string, digest: Digest, cause?: unknown) {
    super(code, { message, hint, cause });
    this.digest = digest;
  }
}

type Kind = 'blob' | 'layer';

const codes = { blob: 'BLOB_DAMAGED', layer: 'LAYER_DAMAGED' } as const;

/** @param users references of the tags that need it */
export function damagedObject(
  store: Store,
  kind: Kind,
  digest: Digest,
  reason: string,
  users: readonly string[],
): StoreError {
  const message = `${kind} ${digest} in store ${store.dir} is damaged: ${reason}`;
  return new DamageError(codes[kind], `${message}${needed(users)}`, digest);
}

/** Its bytes hash to another digest. */
export function otherDigest(kind: Kind, digest: Digest, found: string): StoreError {
  return new DamageError(
    codes[kind],
    `${kind === 'layer' ? 'layer ' : ''}${digest} has the digest ${found} on the disk`,
    digest,
  );
}

/** The error to throw where reading an object failed with `error`. */
export function readFailure(kind: Kind, digest: Digest, error: unknown): unknown {
  if (!hasCode(error, 'EIO')) return error;
  return new DamageError(
    codes[kind],
    `${kind === 'layer' ? 'layer ' : ''}${digest} can't be read from the disk (EIO)`,
    digest,
    error,
  );
}

/** The same error, with the tags that need the object in it. */
export function withUsers(store: Store, error: unknown): unknown {
  if (!(error instanceof DamageError) || error.message.includes('(needed by ')) return error;
  const users = neededBy(store)(error.digest);
  return new DamageError(error.code, `${error.message}${needed(users)}`, error.digest, error);
}

function needed(users: readonly string[]): string {
  return users.length === 0 ? '' : ` (needed by ${users.join(', ')})`;
}
