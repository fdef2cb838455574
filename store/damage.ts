// What is thrown where the bytes of a stored object are not what its digest says, or can't be read.
import { SystemError } from '#native';
import { StoreError } from './errors.js';
import type { DiffId, Digest } from './words.js';

const hint =
  "'tsbuild fsck --read-data --repair' fetches it again where a registry has it; else pull or build its images again. The disk may be failing";

export type DamagedKind = keyof typeof codes;

const codes = { blob: 'BLOB_DAMAGED', layer: 'LAYER_DAMAGED' } as const;

/** An object of the store is not what its digest says, or can't be read. */
export class DamageError extends StoreError {
  readonly digest: Digest;

  constructor(kind: DamagedKind, digest: Digest, message: string, cause?: unknown) {
    super(codes[kind], { message, hint, cause });
    this.digest = digest;
  }
}

/** Its bytes hash to another digest. */
export function otherDigest(kind: DamagedKind, digest: Digest, found: string): StoreError {
  return new DamageError(kind, digest, `${named(kind, digest)} has the digest ${found} on the disk`);
}

/** The error to throw where reading an object failed with `error`. */
export function readFailure(kind: DamagedKind, digest: Digest, error: unknown): unknown {
  if (!isReadFailure(error)) return error;
  return new DamageError(kind, digest, `${named(kind, digest)} can't be read from the disk (EIO)`, error);
}

/** What `read` gives of a layer. */
export function readingLayer<T>(diffId: DiffId, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw readFailure('layer', diffId, error);
  }
}

/** True where the disk refused to read: not where it refused to write what was read. */
export function isReadFailure(error: unknown): boolean {
  if (error instanceof SystemError) return error.code === 'READ_FAILED' && error.errno === 'EIO';
  return (
    error instanceof Error && 'code' in error && error.code === 'EIO' && 'syscall' in error && error.syscall === 'read'
  );
}

function named(kind: DamagedKind, digest: Digest): string {
  return kind === 'layer' ? `layer ${digest}` : digest;
}
