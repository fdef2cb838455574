// A layer's way into the store: a staging directory in the lease becomes layers/sha256/<hex>/ in one rename, then its row.
//
// After a kill: before the rename there is garbage in tmp/; between rename and row a directory without a row, which nobody
// sees, and which the collector removes or the next one to publish that layer replaces (it may be torn after a power cut).
// The rename happens inside the row's transaction, so that two publishers of one layer come one after the other.
import { randomUUID } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readFailure } from '../damage.js';
import { StoreError } from '../errors.js';
import { encodeIndex } from '../format/index-encode.js';
import { scanEntries } from '../format/tar-scan.js';
import type { Layer, Lease } from '../types.js';
import { type DiffId, parseDiffId } from '../words.js';
import { damagedObject } from './damaged.js';
import { hasCode, storeFault } from './faults.js';
import type { Store } from './handle.js';
import { whileLocked } from './lease.js';
import { neededBy } from './needed-by.js';
import * as paths from './paths.js';
import { moveToQuarantine } from './quarantine.js';
import type { BlobRow, LayerRow } from './schema.js';
import { discard } from './trash.js';

/** The layer with this diffID, if the store has it. The open leases of `store` hold it from now on. */
export function findLayer(store: Store, diffId: DiffId): Layer | null {
  store.protect(diffId);
  const row = store.database.layer(diffId);
  const size = row === null ? null : fileSize(paths.tarPath(store.dir, diffId));
  // A file may be gone though its row is there: someone else's hand, or a collector that was killed.
  if (row === null || size === null) return null;
  if (size === row.size) return layerOf(store, restoreIndex(store, row));
  store.options.onDamage?.(setLayerAside(store, row, `its tar has ${size} bytes instead of ${row.size}`));
  return null;
}

/** A damaged layer goes out of the way, so that it can be stored again. Returns what there is to say. */
function setLayerAside(store: Store, { diffId, size }: LayerRow, reason: string): StoreError {
  const { database, dir } = store;
  const users = neededBy(store)(diffId);
  if (!store.readOnly) {
    database.atomically(() => {
      if (database.layer(diffId) === null || fileSize(paths.tarPath(dir, diffId)) === size) return; // replaced meanwhile
      database.forgetLayer(diffId);
      moveToQuarantine(dir, paths.layerDir(dir, diffId), { kind: 'layer', object: diffId, reason, neededBy: users });
    });
  }
  return damagedObject(store, 'layer', diffId, reason, users);
}

/** An index can be dropped at any time, and is made again by whoever looks the layer up. */
function restoreIndex(store: Store, row: LayerRow): LayerRow {
  if (row.indexSize === null || fileSize(paths.indexPath(store.dir, row.diffId)) === row.indexSize) return row;
  if (store.readOnly) return { ...row, indexSize: null };
  try {
    renewIndex(store, row.diffId);
  } catch (error) {
    if (!(error instanceof StoreError) || !error.code.startsWith('TAR_'))
      throw storeFault(readFailure('layer', row.diffId, error), store.dir);
    throw damagedObject(store, 'layer', row.diffId, error.message, neededBy(store)(row.diffId));
  }
  return store.database.layer(row.diffId) ?? row;
}

/**
 * Makes a blob that is a tar, and was hashed when it came, a layer of the same digest: its bytes stay where they are.
 *
 * @throws StoreError TAR_*: not a tar that can be a layer; then nothing was published
 */
export async function layerFromBlob(store: Store, lease: Lease, path: string, blob: BlobRow): Promise<Layer> {
  const stage = stageLayer(store, lease);
  try {
    linkSync(path, join(stage, 'tar'));
    return await publishLayer(store, stage, { sha256: blob.digest.slice('sha256:'.length), size: blob.size });
  } catch (error) {
    await discard(store, stage);
    throw storeFault(error, store.dir);
  }
}

/** A directory for a layer in the making; its tar is written to `<dir>/tar`. */
export function stageLayer(store: Store, lease: Lease): string {
  const stage = lease.path('layer');
  try {
    mkdirSync(stage, { mode: 0o700 });
  } catch (error) {
    throw storeFault(error, store.dir);
  }
  return stage;
}

/**
 * Makes the staged tar a layer. Idempotent: where another process was faster, its files stay.
 *
 * @param tar what was written to `<stage>/tar`
 * @param options.index its index, if it is made already
 * @param options.alongside writes further rows in the same transaction
 * @throws StoreError TAR_*: not a tar that can be a layer; then nothing was published
 */
export async function publishLayer(
  store: Store,
  stage: string,
  tar: { readonly sha256: string; readonly size: number },
  options: { readonly index?: Buffer | null; readonly alongside?: (diffId: DiffId) => void } = {},
): Promise<Layer> {
  const alongside = options.alongside ?? (() => {});
  const diffId = parseDiffId(`sha256:${tar.sha256}`);
  store.protect(diffId);
  const known = findLayer(store, diffId);
  if (known !== null) {
    store.database.transaction(() => alongside(diffId));
    await discard(store, stage);
    return known;
  }
  const index = options.index === undefined ? indexOf(join(stage, 'tar'), tar.size) : options.index;
  if (index !== null) writeFileSync(join(stage, 'index.erofs'), index, { mode: 0o600 });
  const row: LayerRow = { diffId, size: tar.size, indexSize: index?.length ?? null };
  writeFileSync(join(stage, 'record.json'), `${JSON.stringify(row)}\n`, { mode: 0o600 });

  await whileLocked(store.dir, 'shared', () =>
    store.database.transaction(() => {
      const target = paths.layerDir(store.dir, diffId);
      if (store.database.layer(diffId) === null || !existsSync(join(target, 'tar'))) {
        replaceDir(store, stage, target);
        store.database.putLayer(row);
      }
      alongside(diffId);
    }),
  );
  if (existsSync(stage)) await discard(store, stage);
  return layerOf(store, row);
}

/** Writes a layer's index anew from its tar, to the disk. Its row and its record follow: another version may write another size. */
export function renewIndex(store: Store, diffId: DiffId): void {
  const { database, dir } = store;
  const target = paths.indexPath(dir, diffId);
  const { size } = statSync(paths.tarPath(dir, diffId));
  const index = indexOf(paths.tarPath(dir, diffId), size);
  if (index === null) rmSync(target, { force: true });
  else replaceFile(target, index);
  const row: LayerRow = { diffId, size, indexSize: index?.length ?? null };
  if (database.layer(diffId)?.indexSize === row.indexSize) return;
  database.setIndexSize(diffId, row.indexSize);
  writeRecord(dir, row);
}

/** Beside the layer, for rebuilding the database. */
export function writeRecord(dir: string, row: LayerRow): void {
  replaceFile(paths.recordPath(dir, row.diffId), `${JSON.stringify(row)}\n`);
}

function replaceFile(path: string, bytes: Buffer | string): void {
  const temp = `${path}.${randomUUID()}`;
  writeFileSync(temp, bytes, { mode: 0o600, flush: true });
  renameSync(temp, path);
}

/** The index of a tar; null where none can say it. */
export function indexOf(tar: string, size: number): Buffer | null {
  return encodeIndex(scanEntries(tar, size), size);
}

function fileSize(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.size ?? null;
}

/** What lies at `target` belongs to nobody: it has no row, or is incomplete. */
function replaceDir(store: Store, stage: string, target: string): void {
  try {
    renameSync(stage, target);
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    renameSync(target, join(paths.trashDir(store.dir), randomUUID()));
    renameSync(stage, target);
  }
}

function layerOf(store: Store, row: LayerRow): Layer {
  return {
    diffId: row.diffId,
    size: row.size,
    tarPath: paths.tarPath(store.dir, row.diffId),
    indexPath: row.indexSize === null ? null : paths.indexPath(store.dir, row.diffId),
  };
}
