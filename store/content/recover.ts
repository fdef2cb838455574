// After a reboot: what the last boot did not flush is verified, or dropped.
//
// A power cut may leave a file with its right name and size and wrong content. Rows that are unflushed and of another boot
// tell which files may be such ones; there are some only if the machine went down within moments of a command. Layers and
// blobs are hashed; indexes are written anew, since a torn one would be read by the kernel; trees are dropped, to be made
// again on demand. Where the database was made anew, nothing says that a damaged object ever was unflushed: it goes into
// quarantine. Then tags: one whose image is not complete goes back to the image it had when it last was flushed.
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DiffId, Digest } from '../words.js';
import { hasCode } from './faults.js';
import type { Store } from './handle.js';
import { imageComplete } from './image-objects.js';
import { renewIndex } from './layer.js';
import { whileLocked } from './lease.js';
import { neededBy } from './needed-by.js';
import * as paths from './paths.js';
import { moveToQuarantine } from './quarantine.js';
import { writeTagFile } from './tags.js';

/** Deals with everything that an earlier boot left unflushed. Costs nothing where there is nothing. */
export async function recoverUnflushed(store: Store): Promise<void> {
  const { database, dir } = store;
  const suspect = database.unflushed('earlier');
  const badLayers: DiffId[] = [];
  const badBlobs: Digest[] = [];
  for (const [id] of suspect.layers) {
    if (!(await isIntact(paths.tarPath(dir, id), id))) badLayers.push(id);
    else renewIndex(store, id);
  }
  for (const [digest] of suspect.blobs) {
    if (!(await isIntact(paths.blobFile(dir, digest), digest))) badBlobs.push(digest);
  }
  if (suspect.layers.length + suspect.blobs.length + suspect.trees.length + suspect.tags.length === 0) return;

  await whileLocked(dir, 'exclusive', () => {
    const dropped: string[] = [];
    const aside: { path: string; kind: string; object: string; neededBy: readonly string[] }[] = [];
    const users = neededBy(store);
    database.transaction(() => {
      for (const id of badLayers) {
        const wasTorn = !database.isOfUnknownBoot('layers', id);
        database.deleteLayer(id);
        if (wasTorn) dropped.push(paths.layerDir(dir, id));
        else aside.push({ path: paths.layerDir(dir, id), kind: 'layer', object: id, neededBy: users(id) });
      }
      for (const digest of badBlobs) {
        const wasTorn = !database.isOfUnknownBoot('blobs', digest);
        database.deleteBlob(digest);
        if (wasTorn) dropped.push(paths.blobFile(dir, digest));
        else aside.push({ path: paths.blobFile(dir, digest), kind: 'blob', object: digest, neededBy: users(digest) });
      }
      for (const [id] of suspect.trees) {
        database.deleteTree(id);
        dropped.push(paths.treeDir(dir, id));
      }
      // What was read from the disk is on the disk.
      database.markFlushed({ ...suspect, trees: [], tags: [] });
    });
    for (const path of dropped.filter((each) => existsSync(each)))
      renameSync(path, join(paths.trashDir(dir), randomUUID()));
    for (const { path, ...what } of aside) {
      moveToQuarantine(dir, path, {
        ...what,
        reason: 'its bytes were not those of its digest when the database was made anew',
      });
    }
  });
  recoverTags(store);
}

function recoverTags(store: Store): void {
  const { database } = store;
  const suspect = database.unflushed('earlier').tags;
  for (const [reference, writtenMs] of suspect) {
    const tag = database.tag(reference);
    if (tag === null) continue;
    if (imageComplete(store, tag.digest)) {
      database.markFlushed({ layers: [], blobs: [], trees: [], tags: [[reference, writtenMs]] });
      writeTagFile(store, reference, tag.digest);
      continue;
    }
    revertTag(store, reference);
  }
}

/** The tag goes back to the image it had when it last was flushed; it goes away if it never was. */
export function revertTag(store: Store, reference: string): void {
  const earlier = store.database.revertTag(reference);
  if (earlier !== null) writeTagFile(store, reference, earlier);
  else rmSync(paths.tagFile(store.dir, reference), { force: true });
}

async function isIntact(path: string, digest: Digest): Promise<boolean> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EIO')) return false;
    throw error;
  }
  return `sha256:${hash.digest('hex')}` === digest;
}
