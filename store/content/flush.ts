// Which bytes have reached the disk, and making them.
//
// Rows are written with flushed = 0 and the id of the boot. When a handle closes, a detached sync(1) writes everything unflushed to the
// disk; flush/<id>.json lists the objects, and becomes <id>.done when sync came back. Whoever opens the store next marks
// the rows of <id>.done. Killed anywhere, objects are at worst flushed twice. A row that is still unflushed after a reboot
// is not believed: see recover.ts.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  fdatasyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, storeFault, withFaults } from './faults.js';
import type { Store } from './handle.js';
import * as paths from './paths.js';
import type { Unflushed } from './schema.js';

const abandonedMs = 3_600_000;
/** More files than this are not named one by one: the whole filesystem is flushed. */
const manyFiles = 4000;

/** Waits until everything written to the store has reached the disk. @throws StoreError STORE_IO */
export async function flushStore(store: Store): Promise<void> {
  const batch = store.database.unflushed('this boot');
  if (isEmpty(batch)) return;
  await withFaults(store.dir, async () => {
    if (batch.trees.length > 0) await syncFilesystem(store.dir);
    else for (const path of filesOf(store, batch)) await syncPath(path);
  });
  store.database.waitForDisk();
  store.database.transaction(() => store.database.markFlushed(batch));
}

/** Waits until every transaction so far has reached the disk. */
export function flushLog(dir: string): void {
  let file: number;
  try {
    file = openSync(`${paths.databasePath(dir)}-wal`, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return; // worked into the database, which waited for the disk
    throw storeFault(error, dir);
  }
  try {
    fdatasyncSync(file);
  } catch (error) {
    throw storeFault(error, dir);
  } finally {
    closeSync(file);
  }
}

/** Starts a detached process that flushes what was written; costs this one a process start. */
export function startFlush(store: Store): void {
  const batch = store.database.unflushed('this boot');
  if (isEmpty(batch)) return;
  const name = join(paths.flushDir(store.dir), randomUUID());
  try {
    writeFileSync(`${name}.json`, JSON.stringify(batch), { mode: 0o600 });
  } catch {
    // A full disk, say. Nothing is lost: what is not flushed is verified after a reboot.
    rmSync(`${name}.json`, { force: true });
    return;
  }
  const files = filesOf(store, batch);
  const whole = batch.trees.length > 0 || files.length > manyFiles;
  const args = whole ? ['-f', store.dir] : ['-d', '--', ...files];
  // The log of the database too, if it is still there: another process may have worked it in.
  const script = 'sync -d -- "$1" 2>/dev/null; shift; sync "$@" && mv -- "$0.json" "$0.done"';
  const log = `${paths.databasePath(store.dir)}-wal`;
  const child = spawn('sh', ['-c', script, name, log, ...args], { detached: true, stdio: 'ignore', cwd: '/' });
  child.on('error', () => {
    // Nothing is lost: unflushed objects are verified after a reboot.
  });
  child.unref();
}

/** Marks what flushers have finished since. */
export function applyFlushed(store: Store): void {
  for (const name of readdirSync(paths.flushDir(store.dir))) {
    const path = join(paths.flushDir(store.dir), name);
    if (name.endsWith('.done')) {
      if (tryMark(store, readBatch(path))) rmSync(path, { force: true });
    } else if (ageMs(path) > abandonedMs) {
      rmSync(path, { force: true });
    }
  }
}

/** False on a full disk: it can wait. */
function tryMark(store: Store, batch: Unflushed | null): boolean {
  if (batch === null) return true;
  try {
    store.database.transaction(() => store.database.markFlushed(batch));
    return true;
  } catch (error) {
    if (hasCode(error, 'STORE_FULL')) return false;
    throw error;
  }
}

function isEmpty(batch: Unflushed): boolean {
  return batch.layers.length + batch.blobs.length + batch.trees.length + batch.tags.length === 0;
}

/** What makes up the objects of `batch`, directories after what lies in them. */
function filesOf(store: Store, batch: Unflushed): string[] {
  const { dir, database } = store;
  const files: string[] = [];
  for (const [id] of batch.layers) {
    files.push(paths.tarPath(dir, id), paths.recordPath(dir, id));
    if ((database.layer(id)?.indexSize ?? null) !== null) files.push(paths.indexPath(dir, id));
    files.push(paths.layerDir(dir, id));
  }
  for (const [digest] of batch.blobs) files.push(paths.blobFile(dir, digest));
  for (const [reference] of batch.tags) files.push(paths.tagFile(dir, reference));
  if (batch.layers.length > 0) files.push(paths.layersDir(dir));
  if (batch.blobs.length > 0) files.push(paths.blobsDir(dir));
  if (batch.tags.length > 0) files.push(paths.tagsDir(dir));
  return files;
}

/** Removed in the meantime is as good as flushed; any other failure means that the bytes may be lost. */
async function syncPath(path: string): Promise<void> {
  try {
    const file = await open(path, 'r');
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

/** syncfs(2) by sync(1): a tree has too many files to flush one by one. */
async function syncFilesystem(dir: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = spawn('sync', ['-f', dir], { stdio: 'ignore' });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(Object.assign(new Error(`sync -f ${dir} failed`), { code: 'EIO' }));
    });
  });
}

function readBatch(path: string): Unflushed | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isBatch(value) ? value : null;
  } catch (error) {
    // Taken by another process, or torn by a power cut: then its rows simply stay unflushed.
    if (hasCode(error, 'ENOENT') || error instanceof SyntaxError) return null;
    throw error;
  }
}

function isBatch(value: unknown): value is Unflushed {
  if (typeof value !== 'object' || value === null) return false;
  const lists = new Map<string, unknown>(Object.entries(value));
  return ['layers', 'blobs', 'trees', 'tags'].every((name) => Array.isArray(lists.get(name)));
}

function ageMs(path: string): number {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat === undefined ? 0 : Date.now() - stat.mtimeMs;
}
