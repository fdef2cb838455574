// rewrite-timestamp: the layers that this build made, without files younger than SOURCE_DATE_EPOCH.
//
// It is the image that gets them: the cache keeps the layers as the steps made them, so that another epoch executes
// nothing again, and the layers of the base stay what they are.
import { createHash } from 'node:crypto';
import { clampTimes, type DiffId, findLayer, type Lease, lookupCache, recordCache, StoreError } from '#store';
import { recordLayer } from '../platform/index.js';
import type { BuildIo } from './request.js';

/**
 * @param stack layers of the result, base first
 * @param baseLayers how many of them are the base's
 */
export async function rewriteTimestamps(
  stack: readonly DiffId[],
  baseLayers: number,
  epochSec: number,
  { io, lease }: { readonly io: BuildIo; readonly lease: Lease },
): Promise<readonly DiffId[]> {
  const rewritten: DiffId[] = [];
  for (const [i, diffId] of stack.entries()) {
    io.signal.throwIfAborted();
    rewritten.push(i < baseLayers ? diffId : await rewriteLayer(diffId, epochSec, io, lease));
  }
  return rewritten;
}

async function rewriteLayer(diffId: DiffId, epochSec: number, io: BuildIo, lease: Lease): Promise<DiffId> {
  const { store } = io;
  const key = createHash('sha256').update(`rewrite-timestamp 1 ${diffId} ${epochSec}`).digest('hex');
  const known = lookupCache(store, key);
  if (known?.diffId) return known.diffId;
  const layer = findLayer(store, diffId);
  if (layer === null) {
    throw new StoreError('LAYER_MISSING', {
      message: `layer ${diffId} disappeared from the store during the build`,
      hint: 'build again; if this happens twice, check the disk',
    });
  }
  const committed = await clampTimes(store, lease, layer, epochSec);
  if (committed !== null) recordLayer(committed.layer, committed.heads);
  const result = committed?.layer.diffId ?? diffId;
  recordCache(store, key, { diffId: result, inputs: null });
  return result;
}
