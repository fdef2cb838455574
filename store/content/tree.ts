// Trees: a layer unpacked in OverlayFS's lower format, for kernels and users that can't mount an index. Derived from the
// tar, disposable. A tree is visible when its row is. In user mode its files belong to subordinate ids; even its root may, and
// such a directory can't be moved by us: so what is made and moved is a directory of ours with the root in it.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ApplyOp, type Host, SystemError } from '#native';
import { readFailure, readingLayer } from '../damage.js';
import { StoreError } from '../errors.js';
import { quote } from '../format/tar-path.js';
import { scanEntries } from '../format/tar-scan.js';
import { treeOps } from '../format/tree-ops.js';
import type { Layer, Lease } from '../types.js';
import type { DiffId } from '../words.js';
import { diskSpace } from './disk-space.js';
import { hasCode, withFaults } from './faults.js';
import type { Store } from './handle.js';
import { whileLocked } from './lease.js';
import { trashDir, treeDir, treeRoot } from './paths.js';
import { discard } from './trash.js';

/** The directory of the layer's tree, made now if there is none (for the lease alone, where the store can't be written to). Processes that make the same one at once do no harm. */
export async function makeTree(store: Store, lease: Lease, host: Host, layer: Layer): Promise<string> {
  const root = treeRoot(store.dir, layer.diffId);
  if (hasTree(store, layer.diffId)) return root;
  const made = lease.path('tree');
  mkdirSync(made, { mode: 0o700 });
  const ops = readingLayer(layer.diffId, () => treeOps(scanEntries(layer.tarPath, layer.size), layer.tarPath));
  await withFaults(store.dir, () =>
    host.applyTree(join(made, 'root'), ops).catch((error: unknown) => {
      throw (
        (hasCode(error, 'DISK_FULL') && attributesTooLarge(store, ops)) ||
        (isUnmappedOwner(host, error) && ownerNotMapped(ops)) ||
        readFailure('layer', layer.diffId, error)
      );
    }),
  );
  if (store.readOnly) return join(made, 'root');
  if (!(await publishTree(store, layer.diffId, made))) await discard(store, made, host);
  return root;
}

/** ext4 has room for this much of them beside a file, and calls its disk full beyond. */
const portableXattrBytes = 3500;

/** Null where it must have been the disk. */
function attributesTooLarge(store: Store, ops: readonly ApplyOp[]): StoreError | null {
  if (diskSpace(store).freeBytes < 2 ** 24) return null;
  for (const op of ops) {
    if (!('meta' in op)) continue;
    const bytes = op.meta.xattrs.reduce((sum, { name, value }) => sum + name.length + value.length, 0);
    if (bytes <= portableXattrBytes) continue;
    return new StoreError('TREE_ATTRIBUTES_TOO_LARGE', {
      message: `the extended attributes of ${quote(op.path)} take ${bytes} bytes, which the filesystem of ${store.dir} can't hold`,
      hint: 'put the store on XFS or btrfs (--store)',
    });
  }
  return null;
}

/** What chown(2) says of an id that the user namespace does not map. */
function isUnmappedOwner(host: Host, error: unknown): boolean {
  return host.kind === 'user' && error instanceof SystemError && error.errno === 'EINVAL';
}

function ownerNotMapped(ops: readonly ApplyOp[]): StoreError | null {
  let beyond: { readonly id: number; readonly op: ApplyOp } | null = null;
  for (const op of ops) {
    const id = 'meta' in op ? Math.max(op.meta.uid, op.meta.gid) : 0;
    if (id > (beyond?.id ?? 0)) beyond = { id, op };
  }
  if (beyond === null) return null;
  return new StoreError('TREE_OWNER_NOT_MAPPED', {
    message: `${quote(beyond.op.path)} in the layer belongs to id ${beyond.id}, which is beyond those that your user may use`,
    hint: 'give your user a larger range in /etc/subuid and /etc/subgid, or build as root',
  });
}

/** Makes a directory the layer's tree; false if there is one already or the directory can't be moved. */
export async function adoptTree(store: Store, lease: Lease, diffId: DiffId, dir: string): Promise<boolean> {
  if (hasTree(store, diffId)) return false;
  const made = lease.path('tree');
  mkdirSync(made, { mode: 0o700 });
  try {
    renameSync(dir, join(made, 'root'));
  } catch (error) {
    rmdirSync(made);
    // The step gave the root directory to another id: only its owner may move it.
    if (hasCode(error, 'EACCES', 'EPERM')) return false;
    throw error;
  }
  if (await publishTree(store, diffId, made)) return true;
  renameSync(join(made, 'root'), dir);
  rmdirSync(made);
  return false;
}

function hasTree(store: Store, diffId: DiffId): boolean {
  return store.database.hasTree(diffId) && existsSync(treeRoot(store.dir, diffId));
}

async function publishTree(store: Store, diffId: DiffId, dir: string): Promise<boolean> {
  return whileLocked(store.dir, 'shared', () =>
    store.database.transaction(() => {
      if (hasTree(store, diffId)) return false;
      const target = treeDir(store.dir, diffId);
      // Without a row it belongs to nobody and may be torn.
      if (existsSync(target)) renameSync(target, join(trashDir(store.dir), randomUUID()));
      renameSync(dir, target);
      store.database.putTree(diffId);
      return true;
    }),
  );
}
