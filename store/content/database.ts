// meta.db: what the store knows about its files. The only file that knows the SQL engine.
//
// Files are the truth, rows make them visible: a layer or blob exists when its row does, and its row is written after its
// file got its name. Written in WAL mode with synchronous=NORMAL: a commit waits for no disk and survives a kill; a power
// cut may lose the last transactions but never tears the database. Checkpoints do wait for the disk, so they happen only when the
// log is found large at opening, and in garbage collection; a process that ends by process.exit() leaves the log as it is.
//
// `flushed` says whether the object's bytes reached the disk, `boot` in which boot the row was written (rule 2 of FORMAT.md).
// No other code of this process may open and close meta.db: closing it would drop SQLite's locks (fcntl, per process).
import type { Database as Connection, Statement } from 'libsql';
import type { DiffId, Digest } from '../words.js';
import { storeFault } from './faults.js';

export const schemaVersion = 1;

const schema = `
CREATE TABLE layers (diff_id TEXT PRIMARY KEY, size INTEGER NOT NULL, index_size INTEGER, created_ms INTEGER NOT NULL,
  boot TEXT NOT NULL, flushed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, created_ms INTEGER NOT NULL,
  boot TEXT NOT NULL, flushed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE trees (diff_id TEXT PRIMARY KEY, created_ms INTEGER NOT NULL, boot TEXT NOT NULL,
  flushed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE compressions (diff_id TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY (diff_id, digest)) WITHOUT ROWID;
CREATE TABLE images (digest TEXT PRIMARY KEY, config_digest TEXT NOT NULL, layers TEXT NOT NULL,
  created_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tags (reference TEXT PRIMARY KEY, digest TEXT NOT NULL, good_digest TEXT, updated_ms INTEGER NOT NULL,
  boot TEXT NOT NULL, flushed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cache (key TEXT PRIMARY KEY, diff_id TEXT, inputs TEXT NOT NULL, created_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE leases (id TEXT PRIMARY KEY, purpose TEXT NOT NULL, pid INTEGER NOT NULL, boot TEXT NOT NULL,
  created_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lease_refs (lease TEXT NOT NULL, object TEXT NOT NULL, PRIMARY KEY (lease, object)) WITHOUT ROWID;
CREATE TABLE facts (boot TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (boot, name)) WITHOUT ROWID;
CREATE INDEX unflushed_layers ON layers (diff_id) WHERE flushed = 0;
CREATE INDEX unflushed_blobs ON blobs (digest) WHERE flushed = 0;
CREATE INDEX unflushed_trees ON trees (diff_id) WHERE flushed = 0;
CREATE INDEX unflushed_tags ON tags (reference) WHERE flushed = 0;
PRAGMA user_version = ${schemaVersion};`;

export interface LayerRow {
  readonly diffId: DiffId;
  readonly size: number;
  /** Null where the layer has no index. */
  readonly indexSize: number | null;
}

export interface BlobRow {
  readonly digest: Digest;
  readonly size: number;
}

export interface ImageRow {
  /** Digest of the manifest. */
  readonly digest: Digest;
  readonly configDigest: Digest;
  readonly layers: readonly DiffId[];
  readonly createdMs: number;
}

export interface TagRow {
  readonly reference: string;
  readonly digest: Digest;
  readonly updatedMs: number;
}

export interface CompressionRow {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
}

export interface CacheRow {
  readonly key: string;
  readonly diffId: DiffId | null;
  readonly inputs: string;
  readonly createdMs: number;
  readonly usedMs: number;
}

/** An object by its key, and when its row was written: a row that was replaced since is another object. */
export type Written<Key> = readonly [key: Key, writtenMs: number];

/** Objects whose bytes are not known to have reached the disk. */
export interface Unflushed {
  readonly layers: readonly Written<DiffId>[];
  readonly blobs: readonly Written<Digest>[];
  readonly trees: readonly Written<DiffId>[];
  readonly tags: readonly Written<string>[];
}

type Value = string | number | null;
type Row = Readonly<Record<string, Value>>;

/** The SQL engine, loaded once (15 ms). */
export interface Engine {
  open(path: string): Connection;
}

export async function loadEngine(): Promise<Engine> {
  const { default: Libsql } = await import('libsql');
  return { open: (path) => new Libsql(path) };
}

/**
 * Opens `path`, creating the file where it does not exist.
 *
 * @param boot id of this boot; rows are written with it
 * @throws StoreError STORE_DATABASE_BROKEN and the like
 */
export function openDatabase(engine: Engine, path: string, boot: string): Database {
  try {
    return new Database(engine.open(path), boot, path);
  } catch (error) {
    throw storeFault(error, path);
  }
}

export class Database {
  #connection: Connection | null;
  readonly #boot: string;
  readonly #path: string;
  readonly #statements = new Map<string, Statement<Value[]>>();
  #wrote = false;

  constructor(connection: Connection, boot: string, path: string) {
    this.#connection = connection;
    this.#boot = boot;
    this.#path = path;
    // The timeout comes first: everything after it may meet another process.
    this.#exec('PRAGMA busy_timeout = 20000; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 10000');
  }

  /** 0 for a database without tables. */
  version(): number {
    return Number(this.#get('PRAGMA user_version')?.user_version);
  }

  /** Makes the tables where there are none; whoever makes them fills them with `fill` in the same transaction. */
  create(fill: () => void): void {
    this.#exec('PRAGMA journal_mode = WAL');
    this.transaction(() => {
      if (this.version() !== 0) return;
      this.#exec(schema);
      fill();
    });
  }

  /** Moves the log into the database proper; waits for the disk. */
  checkpoint(): void {
    this.#all('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  /** All or nothing, and alone: other processes' transactions come before or after. Must not nest; `run` must not await. */
  transaction<T>(run: () => T): T {
    this.#exec('BEGIN IMMEDIATE');
    try {
      const result = run();
      this.#exec('COMMIT');
      return result;
    } catch (error) {
      try {
        this.#exec('ROLLBACK');
      } catch {
        // SQLite has rolled back by itself (full disk); the first error is the one to tell.
      }
      throw error;
    }
  }

  // --- layers ---

  putLayer(row: LayerRow): void {
    this.#write(
      'INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?, 0)',
      ...[row.diffId, row.size, row.indexSize, Date.now(), this.#boot],
    );
  }

  layer(diffId: DiffId): LayerRow | null {
    const row = this.#get('SELECT * FROM layers WHERE diff_id = ?', diffId);
    return row ? layerRow(row) : null;
  }

  layers(): LayerRow[] {
    return this.#all('SELECT * FROM layers').map(layerRow);
  }

  deleteLayer(diffId: DiffId): void {
    this.#run('DELETE FROM layers WHERE diff_id = ?', diffId);
    this.#run('DELETE FROM compressions WHERE diff_id = ?', diffId);
  }

  // --- trees ---

  putTree(diffId: DiffId): void {
    this.#write('INSERT OR REPLACE INTO trees VALUES (?, ?, ?, 0)', diffId, Date.now(), this.#boot);
  }

  hasTree(diffId: DiffId): boolean {
    return this.#get('SELECT 1 FROM trees WHERE diff_id = ?', diffId) !== undefined;
  }

  trees(): DiffId[] {
    return this.#all('SELECT diff_id FROM trees').map((row) => row.diff_id as DiffId);
  }

  deleteTree(diffId: DiffId): void {
    this.#run('DELETE FROM trees WHERE diff_id = ?', diffId);
  }

  // --- blobs ---

  putBlob(row: BlobRow): void {
    this.#write('INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, 0)', row.digest, row.size, Date.now(), this.#boot);
  }

  blob(digest: Digest): BlobRow | null {
    const row = this.#get('SELECT * FROM blobs WHERE digest = ?', digest);
    return row ? blobRow(row) : null;
  }

  blobs(): BlobRow[] {
    return this.#all('SELECT * FROM blobs').map(blobRow);
  }

  deleteBlob(digest: Digest): void {
    this.#run('DELETE FROM blobs WHERE digest = ?', digest);
  }

  // --- compressions ---

  putCompression(diffId: DiffId, row: CompressionRow): void {
    this.#run('INSERT OR REPLACE INTO compressions VALUES (?, ?, ?, ?)', diffId, row.digest, row.mediaType, row.size);
  }

  compressions(diffId: DiffId): CompressionRow[] {
    return this.#all('SELECT * FROM compressions WHERE diff_id = ?', diffId).map((row) => ({
      digest: row.digest as Digest,
      mediaType: String(row.media_type),
      size: Number(row.size),
    }));
  }

  /** Layer whose compressed form has this digest, if it was ever seen. */
  diffIdOfBlob(digest: Digest): DiffId | null {
    const row = this.#get('SELECT diff_id FROM compressions WHERE digest = ?', digest);
    return row ? (row.diff_id as DiffId) : null;
  }

  // --- images and tags ---

  putImage(row: Omit<ImageRow, 'createdMs'>): void {
    this.#run(
      'INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?)',
      ...[row.digest, row.configDigest, JSON.stringify(row.layers), Date.now()],
    );
  }

  image(digest: Digest): ImageRow | null {
    const row = this.#get('SELECT * FROM images WHERE digest = ?', digest);
    return row ? imageRow(row) : null;
  }

  images(): ImageRow[] {
    return this.#all('SELECT * FROM images ORDER BY created_ms, digest').map(imageRow);
  }

  deleteImage(digest: Digest): void {
    this.#run('DELETE FROM images WHERE digest = ?', digest);
  }

  /** Points a tag at an image. What it pointed at before is remembered if that had reached the disk. */
  putTag(reference: string, digest: Digest): void {
    this.#write(
      `INSERT INTO tags VALUES (?1, ?2, NULL, ?3, ?4, 0) ON CONFLICT (reference) DO UPDATE SET
       good_digest = CASE WHEN flushed = 1 THEN digest ELSE good_digest END,
       digest = ?2, updated_ms = ?3, boot = ?4, flushed = 0`,
      ...[reference, digest, Date.now(), this.#boot],
    );
  }

  tag(reference: string): TagRow | null {
    const row = this.#get('SELECT * FROM tags WHERE reference = ?', reference);
    return row ? tagRow(row) : null;
  }

  tags(): TagRow[] {
    return this.#all('SELECT * FROM tags ORDER BY reference').map(tagRow);
  }

  /** Images that tags would go back to after a power cut. */
  goodDigests(): Digest[] {
    return this.#all('SELECT good_digest FROM tags WHERE flushed = 0 AND good_digest IS NOT NULL').map(
      (row) => row.good_digest as Digest,
    );
  }

  /** False if there was no such tag. */
  deleteTag(reference: string): boolean {
    return this.#run('DELETE FROM tags WHERE reference = ?', reference) > 0;
  }

  // --- cache records ---

  putCache(key: string, diffId: DiffId | null, inputs: string): void {
    this.#run('INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?4, ?4)', ...[key, diffId, inputs, Date.now()]);
  }

  cache(key: string): CacheRow | null {
    const row = this.#get('SELECT * FROM cache WHERE key = ?', key);
    return row ? cacheRow(row) : null;
  }

  cacheRecords(): CacheRow[] {
    return this.#all('SELECT * FROM cache').map(cacheRow);
  }

  touchCache(key: string): void {
    this.#run('UPDATE cache SET used_ms = ? WHERE key = ?', Date.now(), key);
  }

  deleteCache(key: string): void {
    this.#run('DELETE FROM cache WHERE key = ?', key);
  }

  // --- leases ---

  putLease(id: string, purpose: string): void {
    this.#run('INSERT INTO leases VALUES (?, ?, ?, ?, ?)', id, purpose, process.pid, this.#boot, Date.now());
  }

  leases(): { readonly id: string; readonly purpose: string; readonly pid: number }[] {
    return this.#all('SELECT * FROM leases').map((row) => ({
      id: String(row.id),
      purpose: String(row.purpose),
      pid: Number(row.pid),
    }));
  }

  deleteLease(id: string): void {
    this.transaction(() => {
      this.#run('DELETE FROM leases WHERE id = ?', id);
      this.#run('DELETE FROM lease_refs WHERE lease = ?', id);
    });
  }

  putLeaseRef(lease: string, object: Digest): void {
    this.#run('INSERT OR IGNORE INTO lease_refs VALUES (?, ?)', lease, object);
  }

  leaseRefs(): { readonly lease: string; readonly object: Digest }[] {
    return this.#all('SELECT * FROM lease_refs').map((row) => ({
      lease: String(row.lease),
      object: row.object as Digest,
    }));
  }

  // --- what this boot's kernel can do ---

  fact(name: string): string | null {
    const row = this.#get('SELECT value FROM facts WHERE boot = ? AND name = ?', this.#boot, name);
    return row ? String(row.value) : null;
  }

  putFact(name: string, value: string): void {
    this.#run('DELETE FROM facts WHERE boot <> ?', this.#boot);
    this.#run('INSERT OR REPLACE INTO facts VALUES (?, ?, ?)', this.#boot, name, value);
  }

  // --- durability ---

  /** True once this handle has written something that must reach the disk some time. */
  get wrote(): boolean {
    return this.#wrote;
  }

  /** What was written without having been flushed, in this boot or in earlier ones. */
  unflushed(when: 'this boot' | 'earlier'): Unflushed {
    return {
      layers: this.#unflushed('layers', 'diff_id', 'created_ms', when) as Written<DiffId>[],
      blobs: this.#unflushed('blobs', 'digest', 'created_ms', when) as Written<Digest>[],
      trees: this.#unflushed('trees', 'diff_id', 'created_ms', when) as Written<DiffId>[],
      tags: this.#unflushed('tags', 'reference', 'updated_ms', when),
    };
  }

  #unflushed(table: string, key: string, time: string, when: 'this boot' | 'earlier'): Written<string>[] {
    const sameBoot = when === 'this boot' ? '=' : '<>';
    const sql = `SELECT ${key} AS key, ${time} AS time FROM ${table} WHERE flushed = 0 AND boot ${sameBoot} ?`;
    return this.#all(sql, this.#boot).map((row) => [String(row.key), Number(row.time)]);
  }

  markFlushed(batch: Unflushed): void {
    for (const row of batch.layers)
      this.#run('UPDATE layers SET flushed = 1 WHERE diff_id = ? AND created_ms = ?', ...row);
    for (const row of batch.blobs)
      this.#run('UPDATE blobs SET flushed = 1 WHERE digest = ? AND created_ms = ?', ...row);
    for (const row of batch.trees)
      this.#run('UPDATE trees SET flushed = 1 WHERE diff_id = ? AND created_ms = ?', ...row);
    const tag = 'UPDATE tags SET flushed = 1, good_digest = digest WHERE reference = ? AND updated_ms = ?';
    for (const row of batch.tags) this.#run(tag, ...row);
  }

  /** Makes every row one of an unknown boot: it will be verified before use. */
  distrustAll(): void {
    for (const table of ['layers', 'blobs', 'trees', 'tags']) this.#run(`UPDATE ${table} SET boot = '', flushed = 0`);
  }

  /** Forgets what an earlier boot left unflushed; tags go back. For a copy that can't be verified and repaired. */
  hideUntrusted(): void {
    const untrusted = this.unflushed('earlier');
    for (const [id] of untrusted.layers) this.deleteLayer(id);
    for (const [digest] of untrusted.blobs) this.deleteBlob(digest);
    for (const [id] of untrusted.trees) this.deleteTree(id);
    for (const [reference] of untrusted.tags) this.revertTag(reference);
  }

  /** The tag goes back to the image it had when it last was flushed; removed if it never was. Returns that image. */
  revertTag(reference: string): Digest | null {
    this.#run('DELETE FROM tags WHERE reference = ? AND good_digest IS NULL', reference);
    this.#run('UPDATE tags SET digest = good_digest, flushed = 1 WHERE reference = ?', reference);
    return this.tag(reference)?.digest ?? null;
  }

  /** Commits from here on reach the disk before they return. */
  waitForDisk(): void {
    this.#exec('PRAGMA synchronous = FULL');
  }

  /**
   * Drops the connection. SQLite closes it when nothing refers to it any more (and would then wait for the disk), at the
   * latest with the process; process.exit() skips that.
   */
  close(): void {
    this.#statements.clear();
    this.#connection?.close();
    this.#connection = null;
  }

  #run(sql: string, ...values: readonly Value[]): number {
    return this.#guard(() => this.#statement(sql).run(...values).changes);
  }

  /** For rows that stand for files. */
  #write(sql: string, ...values: readonly Value[]): void {
    this.#wrote = true;
    this.#run(sql, ...values);
  }

  #get(sql: string, ...values: readonly Value[]): Row | undefined {
    return this.#guard(() => this.#statement(sql).get(...values) as Row | undefined);
  }

  #all(sql: string, ...values: readonly Value[]): Row[] {
    return this.#guard(() => this.#statement(sql).all(...values) as Row[]);
  }

  #exec(sql: string): void {
    this.#guard(() => this.#open().exec(sql));
  }

  #statement(sql: string): Statement<Value[]> {
    const known = this.#statements.get(sql);
    if (known) return known;
    const made = this.#open().prepare<Value[]>(sql);
    this.#statements.set(sql, made);
    return made;
  }

  #open(): Connection {
    if (this.#connection === null) throw new Error('the store is closed');
    return this.#connection;
  }

  #guard<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw storeFault(error, this.#path);
    }
  }
}

function layerRow(row: Row): LayerRow {
  return {
    diffId: row.diff_id as DiffId,
    size: Number(row.size),
    indexSize: row.index_size === null ? null : Number(row.index_size),
  };
}

function blobRow(row: Row): BlobRow {
  return { digest: row.digest as Digest, size: Number(row.size) };
}

function imageRow(row: Row): ImageRow {
  return {
    digest: row.digest as Digest,
    configDigest: row.config_digest as Digest,
    layers: JSON.parse(String(row.layers)) as DiffId[],
    createdMs: Number(row.created_ms),
  };
}

function tagRow(row: Row): TagRow {
  return { reference: String(row.reference), digest: row.digest as Digest, updatedMs: Number(row.updated_ms) };
}

function cacheRow(row: Row): CacheRow {
  return {
    key: String(row.key),
    diffId: row.diff_id === null ? null : (row.diff_id as DiffId),
    inputs: String(row.inputs),
    createdMs: Number(row.created_ms),
    usedMs: Number(row.used_ms),
  };
}
