import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { bootId } from '#native';
import { StoreError } from '../errors.js';
import { type Database, openDatabase } from './database.js';
import { hasCode, storeFault } from './faults.js';
import { filesystemOf, refuseNetwork } from './filesystem.js';
import { applyFlushed, flushStore, startFlush } from './flush.js';
import { makeDirectories, readFormat, refuseNewer, writeFormat } from './format-file.js';
import { Store, type StoreOptions } from './handle.js';
import { sweepLeases, whileLocked } from './lease.js';
import { makePath } from './make-path.js';
import { migrateStore } from './migrate.js';
import * as paths from './paths.js';
import { rebuildDatabase } from './rebuild.js';
import { recoverUnflushed } from './recover.js';
import { giveUpReserve, makeReserve } from './reserve.js';
import { schemaVersion } from './schema.js';
import { type Engine, loadEngine } from './sql.js';
import { emptyTrash, trashForgotten } from './trash.js';

/** A log longer than this is worked into the database at opening, when nothing waits to be written. */
const longLogBytes = 2 << 20;

/**
 * Opens the store in `dir`, creating it where there is none. What killed processes left is swept; what an earlier boot did
 * not bring to the disk is verified, which takes time only after a power cut.
 *
 * @throws StoreError STORE_TOO_NEW, STORE_NOT_A_STORE, STORE_DENIED, STORE_FULL
 */
export async function openStore(dir: string, options: StoreOptions = {}): Promise<Store> {
  const root = resolve(dir);
  try {
    const engine = await loadEngine();
    const boot = options.bootId ?? bootId();
    if (readFormat(root) === null) await createStore(root, engine, boot);
    if (!isWritable(root)) return readOnlyStore(root, engine, boot, options);
    refuseNetwork(root, filesystemOf(root));

    makeDirectories(root);
    const swept = await sweepLeases(root);
    const createNow = (): Promise<void> => whileLocked(root, 'exclusive', () => createDatabase(root, engine, boot));
    if (!fs.existsSync(paths.databasePath(root))) await createNow();
    const database = openFull(root, options, () => openDatabase(engine, paths.databasePath(root), boot));
    const store = new Store({ dir: root, readOnly: false, database, options, finish: finishStore });
    refuseNewer(root, database.version(), schemaVersion);
    // After a power cut, or cut to nothing, the file may be there and its tables not.
    if (database.version() === 0)
      await whileLocked(root, 'exclusive', () => database.create(() => rebuildDatabase(root, database)));
    await migrateStore(root, database, options);
    await applyFlushed(store);
    await recoverUnflushed(store);
    if (swept || trashForgotten(root)) await emptyTrash(root);
    if (logBytes(root) > longLogBytes) database.checkpoint();
    return store;
  } catch (error) {
    throw storeFault(error, root);
  }
}

/** Opens the database on a disk that may be full: even reading needs a little room for its shared memory. */
function openFull(root: string, options: StoreOptions, open: () => Database): Database {
  try {
    return open();
  } catch (error) {
    if (!hasCode(error, 'STORE_FULL') || options.freeing !== true || !giveUpReserve(root)) throw error;
    return open();
  }
}

async function finishStore(store: Store): Promise<void> {
  if (store.readOnly || !store.database.wrote) return;
  if (store.options.sync) await flushStore(store);
  else startFlush(store);
}

async function createStore(root: string, engine: Engine, boot: string): Promise<void> {
  refuseNetwork(root, filesystemOf(nearestThere(root)));
  makePath(root, 0o700);
  // Another process may be making the store at this moment, or was killed while it did.
  const database = ['meta.db', 'meta.db-journal', 'meta.db-wal', 'meta.db-shm'];
  const known = new Set(['format.json', 'format.json.new', ...database, 'lock', 'reserve']);
  for (const path of paths.storeDirs(root)) known.add(path.slice(root.length + 1).split('/')[0] ?? '');
  const foreign = fs.readdirSync(root).find((name) => !known.has(name));
  if (foreign !== undefined) {
    throw new StoreError('STORE_NOT_A_STORE', {
      message: `${root} is no store: it contains '${foreign}'`,
      hint: 'give --store an empty or a new directory',
    });
  }
  fs.chmodSync(root, 0o700);
  await whileLocked(root, 'exclusive', () => {
    if (readFormat(root) !== null) return;
    makeDirectories(root);
    createDatabase(root, engine, boot);
    makeReserve(root);
    writeFormat(root);
  });
}

function nearestThere(path: string): string {
  return fs.existsSync(path) ? path : nearestThere(dirname(path));
}

/** In a new store there is nothing to rebuild from; in an old one meta.db was lost. */
function createDatabase(root: string, engine: Engine, boot: string): void {
  const database = openDatabase(engine, paths.databasePath(root), boot);
  database.create(() => rebuildDatabase(root, database));
  database.close();
}

function isWritable(root: string): boolean {
  try {
    fs.accessSync(root, fs.constants.W_OK);
    return true;
  } catch (error) {
    if (hasCode(error, 'EROFS', 'EACCES')) return false;
    throw error;
  }
}

/** SQLite writes beside a database even to read it: where it can't, it reads a copy. */
function readOnlyStore(root: string, engine: Engine, boot: string, options: StoreOptions): Store {
  const copyDir = fs.mkdtempSync(join(tmpdir(), 'tsbuild-store-'));
  try {
    for (const name of ['meta.db', 'meta.db-wal']) {
      if (fs.existsSync(join(root, name))) fs.copyFileSync(join(root, name), join(copyDir, name));
    }
    const database = openDatabase(engine, join(copyDir, 'meta.db'), boot);
    refuseNewer(root, database.version(), schemaVersion);
    database.migrate();
    database.hideUntrusted();
    return new Store({ dir: root, readOnly: true, database, options, finish: finishStore });
  } finally {
    // The open database keeps its files alive.
    fs.rmSync(copyDir, { recursive: true, force: true });
  }
}

function logBytes(root: string): number {
  return fs.statSync(`${paths.databasePath(root)}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}
