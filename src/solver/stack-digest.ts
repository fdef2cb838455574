// One digest for a stack of layers, however it came about. Each stack is the one before and a layer, and so is its digest:
// a thousand steps hash a thousand layers, not half a million.
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { DiffId } from '#store';

const known = new WeakMap<readonly DiffId[], string>();

/** @returns 64 hex digits @see OCI image-spec v1.1, config.md "Layer ChainID" */
export function stackDigest(stack: readonly DiffId[]): string {
  const digest = known.get(stack) ?? stack.reduce(chained, '');
  known.set(stack, digest);
  return digest;
}

/** The stack with a layer more. */
export function extendStack(stack: readonly DiffId[], layer: DiffId): readonly DiffId[] {
  const longer = [...stack, layer];
  known.set(longer, chained(stackDigest(stack), layer));
  return longer;
}

function chained(below: string, layer: DiffId): string {
  return bytesToHex(sha256(utf8ToBytes(`${below} ${layer}`)));
}
