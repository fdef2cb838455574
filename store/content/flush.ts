// Which bytes have reached the disk, and making them.
//
// Rows are written with flushed = 0 and the id of the boot. When a handle closes, a detached sync(1) writes everything unflushed to the
// disk; flush/<id>.json lists the objects, and becomes <id>.done when sync came back. Whoever opens the store next marks
// the rows of <id>.done. Killed anywhere, objects are at worst flushed twice. A row that is still unflushed after a reboot
// is not believed: see recover.ts. What the disk refuses is named in <id>.failed and given up by whoever opens the store
// next: see unwritten.ts. It is never flushed again: the kernel says once that it lost bytes, then takes them for written.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, storeFault, withFaults } from './faults.js';
import type { Store } from './handle.js';
import * as paths from './paths.js';
import type { Unflushed } from './schema.js';
import { giveUpUnwritten } from './unwritten.js';

const abandonedMs = 3_600_000;
/** More files than this are not named one by one: the whole filesystem is flushed. */
const manyFiles = 4000;

/** Waits until everything written to the store has reached the disk. @throws StoreError STORE_IO */
export async function flushStore(store: Store): Promise<void> {
  const batch = store.database.unflushed('this boot');
  if (isEmpty(batch)) return;
  const refused = await withFaults(store.dir, () =>
    batch.trees.length > 0 ? syncFilesystem(store.dir) : syncFiles(filesOf(store, batch)),
  );
  if (refused.length > 0) throw await giveUpUnwritten(store, batch, refused);
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
  const script =
    'sync -d -- "$1" 2>/dev/null; shift; if said=$(LC_ALL=C sync "$@" 2>&1); then mv -- "$0.json" "$0.done"; else ' +
    'case $said in *"error syncing"*) printf %s "$said" > "$0.said"; mv -- "$0.json" "$0.failed"; esac; fi';
  const log = `${paths.databasePath(store.dir)}-wal`;
  const child = spawn('sh', ['-c', script, name, log, ...args], { detached: true, stdio: 'ignore', cwd: '/' });
  child.on('error', () => {
    // Nothing is lost: unflushed objects are verified after a reboot.
  });
  child.unref();
}

/** Marks what flushers have finished since, and gives up what they could not write. */
export async function applyFlushed(store: Store): Promise<void> {
  const dir = paths.flushDir(store.dir);
  const names = readdirSync(dir);
  // First, so that nothing of it is marked: another flusher of the same files may have heard of no error.
  for (const name of names.filter((each) => each.endsWith('.failed'))) {
    const said = join(dir, name.replace(/failed$/, 'said'));
    const batch = readBatch(join(dir, name));
    if (batch !== null) store.options.onDamage?.(await giveUpUnwritten(store, batch, refusedPaths(said)));
    for (const path of [said, join(dir, name)]) rmSync(path, { force: true });
  }
  for (const name of names) {
    const path = join(dir, name);
    if (name.endsWith('.done')) {
      if (tryMark(store, readBatch(path))) rmSync(path, { force: true });
    } else if (ageMs(path) > abandonedMs) {
      rmSync(path, { force: true });
    }
  }
}

/** What sync(1) could not write, by its messages. */
function refusedPaths(saidPath: string): string[] {
  const said = existsSync(saidPath) ? readFileSync(saidPath, 'utf8') : '';
  return [...said.matchAll(/error syncing '?(\/[^'\n]*?)'?: /g)].map(([, path = '']) => path);
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

/** @returns those that the disk refused */
async function syncFiles(files: readonly string[]): Promise<string[]> {
  const refused: string[] = [];
  for (const path of files) if (!(await syncPath(path))) refused.push(path);
  return refused;
}

/** False if the disk refused it. Removed in the meantime is as good as flushed. */
async function syncPath(path: string): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    throw error;
  }
  try {
    return await file.datasync().then(
      () => true,
      () => false,
    );
  } finally {
    await file.close();
  }
}

/** syncfs(2) by sync(1): a tree has too many files to flush one by one. @returns `dir` if the disk refused something */
async function syncFilesystem(dir: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const child = spawn('sync', ['-f', dir], { stdio: 'ignore' });
    child.on('error', reject);
    child.on('close', (code) => resolve(code === 0 ? [] : [dir]));
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
