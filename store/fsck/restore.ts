// Objects that are lost or damaged: made known again where they are whole, put into quarantine where they are not, and brought
// back from what holds the same bytes.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { findBlob } from '../content/blob.js';
import { hasCode } from '../content/faults.js';
import type { Store } from '../content/handle.js';
import { importLayer } from '../content/import.js';
import { renewIndex, writeRecord } from '../content/layer.js';
import { whileLocked } from '../content/lease.js';
import * as paths from '../content/paths.js';
import { moveToQuarantine } from '../content/quarantine.js';
import type { LayerRow } from '../content/schema.js';
import { familiarName } from '../image/reference.js';
import type { Lease } from '../types.js';
import type { DiffId, Digest } from '../words.js';
import type { Checking } from './checking.js';
import { failed, type Outcome, quarantined, type RepairTools, repaired } from './finding.js';
import { digestOf } from './read-files.js';

/** Brings a layer back. @param reason why it goes into quarantine, if it does */
export async function restoreLayer(
  { store, snapshot }: Checking,
  { lease, fetch }: RepairTools,
  diffId: DiffId,
  reason: string,
): Promise<Outcome> {
  const { dir } = store;
  if (await isWhole(paths.tarPath(dir, diffId), diffId)) {
    await makeKnown(store, diffId);
    return repaired('it is whole, and known again');
  }
  const neededBy = snapshot.neededBy(diffId);
  const aside = await whileLocked(dir, 'exclusive', () => {
    store.database.forgetLayer(diffId);
    return moveToQuarantine(dir, paths.layerDir(dir, diffId), { kind: 'layer', object: diffId, reason, neededBy });
  });
  const where = aside === null ? '' : `; the damaged one is in quarantine/${basename(aside)}`;
  if (await unpackAgain(store, lease, diffId)) return repaired(`unpacked again from a compressed blob${where}`);
  if (neededBy.length === 0) {
    return aside === null
      ? repaired('forgotten: nothing needs it')
      : quarantined(`now in quarantine/${basename(aside)}`);
  }
  const fetched = fetch === null ? 'no registry was asked' : await fetch.layer(store, lease, diffId, neededBy);
  if (fetched === true) return repaired(`fetched again${where}`);
  return failed(`${fetched}${where}; pull or build ${neededBy.map(familiarName).join(', ')} again`);
}

/** Brings a blob back. */
export async function restoreBlob(
  { store, snapshot }: Checking,
  { lease, fetch }: RepairTools,
  digest: Digest,
  reason: string,
): Promise<Outcome> {
  const { dir } = store;
  const path = paths.blobFile(dir, digest);
  if (await isWhole(path, digest)) {
    await whileLocked(dir, 'shared', () => {
      if (existsSync(path)) store.database.putBlob({ digest, size: statSync(path).size });
    });
    return repaired('it is whole, and known again');
  }
  const neededBy = isSpare(store, digest) ? [] : snapshot.neededBy(digest);
  const aside = await whileLocked(dir, 'exclusive', () => {
    store.database.deleteBlob(digest);
    return moveToQuarantine(dir, path, { kind: 'blob', object: digest, reason, neededBy });
  });
  const where = aside === null ? '' : `; the damaged one is in quarantine/${basename(aside)}`;
  if (neededBy.length === 0) {
    return aside === null
      ? repaired('forgotten: nothing needs it')
      : quarantined(`now in quarantine/${basename(aside)}`);
  }
  const fetched = fetch === null ? 'no registry was asked' : await fetch.document(store, lease, digest, neededBy);
  if (fetched === true) return repaired(`fetched again${where}`);
  return failed(`${fetched}${where}; pull or build ${neededBy.map(familiarName).join(', ')} again`);
}

/** True for a compressed form of a layer that is here: it can be made or fetched again when somebody wants it. */
export function isSpare({ database }: Store, digest: Digest): boolean {
  const diffId = database.diffIdOfBlob(digest);
  return diffId !== null && database.layer(diffId) !== null;
}

async function isWhole(path: string, digest: Digest): Promise<boolean> {
  return `sha256:${(await digestOf(path)).digest}` === digest;
}

async function makeKnown(store: Store, diffId: DiffId): Promise<void> {
  const { dir, database } = store;
  renewIndex(store, diffId);
  await whileLocked(dir, 'shared', () =>
    database.transaction(() => {
      const size = statSync(paths.tarPath(dir, diffId), { throwIfNoEntry: false })?.size;
      if (size === undefined) return; // collected at this moment
      const indexSize = statSync(paths.indexPath(dir, diffId), { throwIfNoEntry: false })?.size ?? null;
      const row: LayerRow = { diffId, size, indexSize };
      writeRecord(dir, row);
      database.putLayer(row);
    }),
  );
}

/** From a compressed form of the layer that lies here. */
async function unpackAgain(store: Store, lease: Lease, diffId: DiffId): Promise<boolean> {
  for (const { digest, size, mediaType } of store.database.compressions(diffId)) {
    if (findBlob(store, digest) === null) continue;
    const source = createReadStream(paths.blobFile(store.dir, digest), { highWaterMark: 1 << 20 });
    try {
      await importLayer(store, lease, source, { expectDiffId: diffId, blob: { digest, size, mediaType } });
      return true;
    } catch (error) {
      // Damaged too, which its own finding tells.
      if (!hasCode(error, ...damagedCodes)) throw error;
    } finally {
      source.destroy();
    }
  }
  return false;
}

const damagedCodes = [
  'LAYER_DIFF_ID_MISMATCH',
  'LAYER_COMPRESSION_DAMAGED',
  'BLOB_DIGEST_MISMATCH',
  'BLOB_SIZE_MISMATCH',
  'EIO',
  'STORE_IO',
];
