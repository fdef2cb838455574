// meta.db: what the store knows about its files.
//
// Files are the truth, rows make them visible: a layer or blob exists when its row does, and its row is written after its
// file got its name. `flushed` says whether the object's bytes reached the disk, `boot` in which boot the row was written.
import type { DiffId, Digest } from '../words.js';
import { CacheTable } from './cache-table.js';
import { HistoryTables } from './history-tables.js';
import { LeaseTables } from './lease-tables.js';
import { RepositoryTables } from './repository-tables.js';
import {
  type BlobRow,
  type CompressionRow,
  type ImageRow,
  type LayerRow,
  migrations,
  schema,
  schemaVersion,
  type TagRow,
  tableNames,
  type Unflushed,
  type Written,
} from './schema.js';
import { type Engine, type Row, Sql, type Value } from './sql.js';

export function openDatabase(engine: Engine, path: string, boot: string): Database {
  return new Database(new Sql(engine, path), boot);
}

export class Database {
  readonly cache: CacheTable;
  readonly history: HistoryTables;
  readonly leases: LeaseTables;
  readonly repositories: RepositoryTables;
  readonly #sql: Sql;
  readonly #boot: string;
  #wrote = false;

  /** @param boot id of this boot; rows are written with it */
  constructor(sql: Sql, boot: string) {
    this.#sql = sql;
    this.cache = new CacheTable(sql);
    this.history = new HistoryTables(sql);
    this.leases = new LeaseTables(sql, boot);
    this.repositories = new RepositoryTables(sql);
    this.#boot = boot;
  }

  /** 0 for a database without tables. */
  version(): number {
    return Number(this.#sql.get('PRAGMA user_version')?.user_version);
  }

  /** What SQLite finds wrong with its file; nothing where all is well. @throws StoreError STORE_DATABASE_BROKEN */
  damage(): string[] {
    const found = this.#sql.all('PRAGMA integrity_check(10)').map((row) => String(row.integrity_check));
    return found.length === 1 && found[0] === 'ok' ? this.#missingTables() : found;
  }

  #missingTables(): string[] {
    const names = new Set(this.#sql.all("SELECT name FROM sqlite_schema WHERE type = 'table'").map(({ name }) => name));
    return tableNames(this.version())
      .filter((name) => !names.has(name))
      .map((name) => `table ${name} is missing`);
  }

  /** Makes the tables where there are none; whoever makes them fills them with `fill` in the same transaction. */
  create(fill: () => void): void {
    this.#sql.exec('PRAGMA journal_mode = WAL');
    this.transaction(() => {
      if (this.version() !== 0) return;
      this.#sql.exec(schema);
      fill();
    });
  }

  /** Brings the tables of an older version up to date. */
  migrate(): void {
    if (this.version() >= schemaVersion) return;
    this.transaction(() => {
      // Another process may have been faster.
      for (let version = this.version(); version < schemaVersion; version++) this.#sql.exec(migrations[version] ?? '');
    });
  }

  /** A copy of it as it is now, to a file that does not exist. */
  copyTo(path: string): void {
    this.#sql.run('VACUUM INTO ?', path);
  }

  /** Moves the log into the database proper; waits for the disk. */
  checkpoint(): void {
    this.#sql.all('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  /** All or nothing, and alone: see Sql. */
  transaction<T>(run: () => T): T {
    return this.#sql.transaction(run);
  }

  /** `run` in a transaction: the one that is under way, or its own. */
  atomically<T>(run: () => T): T {
    return this.#sql.inTransaction ? run() : this.transaction(run);
  }

  // --- layers ---

  putLayer(row: LayerRow): void {
    this.#write(
      'INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?, 0)',
      ...[row.diffId, row.size, row.indexSize, Date.now(), this.#boot],
    );
  }

  layer(diffId: DiffId): LayerRow | null {
    const row = this.#sql.get('SELECT * FROM layers WHERE diff_id = ?', diffId);
    return row ? layerRow(row) : null;
  }

  layers(): LayerRow[] {
    return this.#sql.all('SELECT * FROM layers').map(layerRow);
  }

  /** The row stays as it is otherwise: whether the layer reached the disk is another matter. */
  setIndexSize(diffId: DiffId, size: number | null): void {
    this.#sql.run('UPDATE layers SET index_size = ? WHERE diff_id = ?', size, diffId);
  }

  /** Only the layer: its compressed forms may bring it back. */
  forgetLayer(diffId: DiffId): void {
    this.#sql.run('DELETE FROM layers WHERE diff_id = ?', diffId);
  }

  deleteLayer(diffId: DiffId): void {
    this.#sql.run('DELETE FROM layers WHERE diff_id = ?', diffId);
    this.#sql.run('DELETE FROM compressions WHERE diff_id = ?', diffId);
  }

  // --- trees ---

  putTree(diffId: DiffId): void {
    this.#write('INSERT OR REPLACE INTO trees VALUES (?, ?, ?, 0)', diffId, Date.now(), this.#boot);
  }

  hasTree(diffId: DiffId): boolean {
    return this.#sql.get('SELECT 1 FROM trees WHERE diff_id = ?', diffId) !== undefined;
  }

  trees(): DiffId[] {
    return this.#sql.all('SELECT diff_id FROM trees').map((row) => row.diff_id as DiffId);
  }

  deleteTree(diffId: DiffId): void {
    this.#sql.run('DELETE FROM trees WHERE diff_id = ?', diffId);
  }

  // --- blobs ---

  putBlob(row: BlobRow): void {
    this.#write('INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, 0)', row.digest, row.size, Date.now(), this.#boot);
  }

  blob(digest: Digest): BlobRow | null {
    const row = this.#sql.get('SELECT * FROM blobs WHERE digest = ?', digest);
    return row ? blobRow(row) : null;
  }

  blobs(): BlobRow[] {
    return this.#sql.all('SELECT * FROM blobs').map(blobRow);
  }

  deleteBlob(digest: Digest): void {
    this.#sql.run('DELETE FROM blobs WHERE digest = ?', digest);
  }

  // --- compressions ---

  putCompression(diffId: DiffId, row: CompressionRow): void {
    this.#sql.run(
      'INSERT OR REPLACE INTO compressions VALUES (?, ?, ?, ?)',
      diffId,
      row.digest,
      row.mediaType,
      row.size,
    );
  }

  compressions(diffId: DiffId): CompressionRow[] {
    return this.#sql.all('SELECT * FROM compressions WHERE diff_id = ?', diffId).map((row) => ({
      digest: row.digest as Digest,
      mediaType: String(row.media_type),
      size: Number(row.size),
    }));
  }

  /** Compressed forms that are here, beside their layers' tars. */
  compressedBlobs(): { readonly diffId: DiffId; readonly digest: Digest; readonly createdMs: number }[] {
    const sql = `SELECT diff_id, digest, blobs.created_ms AS created_ms FROM compressions
                 JOIN blobs USING (digest) JOIN layers USING (diff_id)`;
    return this.#sql.all(sql).map((row) => ({
      diffId: row.diff_id as DiffId,
      digest: row.digest as Digest,
      createdMs: Number(row.created_ms),
    }));
  }

  /** Layer whose compressed form has this digest, if it was ever seen. */
  diffIdOfBlob(digest: Digest): DiffId | null {
    const row = this.#sql.get('SELECT diff_id FROM compressions WHERE digest = ?', digest);
    return row ? (row.diff_id as DiffId) : null;
  }

  // --- images and tags ---

  putImage(row: Omit<ImageRow, 'createdMs'>): void {
    this.#sql.run(
      'INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?)',
      ...[row.digest, row.configDigest, JSON.stringify(row.layers), Date.now()],
    );
  }

  image(digest: Digest): ImageRow | null {
    const row = this.#sql.get('SELECT * FROM images WHERE digest = ?', digest);
    return row ? imageRow(row) : null;
  }

  images(): ImageRow[] {
    return this.#sql.all('SELECT * FROM images ORDER BY created_ms, digest').map(imageRow);
  }

  deleteImage(digest: Digest): void {
    this.#sql.run('DELETE FROM images WHERE digest = ?', digest);
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

  /** Dates a tag anew that points at `digest` and is on the disk; false if there is none. */
  touchTag(reference: string, digest: Digest): boolean {
    const update = 'UPDATE tags SET updated_ms = ?3 WHERE reference = ?1 AND digest = ?2 AND flushed = 1';
    return this.#sql.run(update, reference, digest, Date.now()) > 0;
  }

  tag(reference: string): TagRow | null {
    const row = this.#sql.get('SELECT * FROM tags WHERE reference = ?', reference);
    return row ? tagRow(row) : null;
  }

  tags(): TagRow[] {
    return this.#sql.all('SELECT * FROM tags ORDER BY reference').map(tagRow);
  }

  /** Those whose reference begins with `prefix`, which ends in a character below 0x7f. */
  tagsUnder(prefix: string): TagRow[] {
    const after = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
    return this.#sql.all('SELECT * FROM tags WHERE reference >= ? AND reference < ?', prefix, after).map(tagRow);
  }

  /** Images that tags would go back to after a power cut. */
  goodDigests(): Digest[] {
    return this.#sql
      .all('SELECT good_digest FROM tags WHERE flushed = 0 AND good_digest IS NOT NULL')
      .map((row) => row.good_digest as Digest);
  }

  /** False if there was no such tag. */
  deleteTag(reference: string): boolean {
    return this.#sql.run('DELETE FROM tags WHERE reference = ?', reference) > 0;
  }

  // --- sizes ---

  /** What the rows say that layers, trees and blobs take. */
  objectBytes(): number {
    const row = this.#sql.get(
      `SELECT (SELECT coalesce(sum(size + coalesce(index_size, 0)), 0) FROM layers)
       + (SELECT coalesce(sum(size), 0) FROM layers JOIN trees USING (diff_id))
       + (SELECT coalesce(sum(size), 0) FROM blobs) AS bytes`,
    );
    return Number(row?.bytes);
  }

  // --- what this boot's kernel can do ---

  fact(name: string): string | null {
    const row = this.#sql.get('SELECT value FROM facts WHERE boot = ? AND name = ?', this.#boot, name);
    return row ? String(row.value) : null;
  }

  putFact(name: string, value: string): void {
    this.#sql.run('DELETE FROM facts WHERE boot <> ?', this.#boot);
    this.#sql.run('INSERT OR REPLACE INTO facts VALUES (?, ?, ?)', this.#boot, name, value);
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
    return this.#sql.all(sql, this.#boot).map((row) => [String(row.key), Number(row.time)]);
  }

  markFlushed(batch: Unflushed): void {
    for (const row of batch.layers)
      this.#sql.run('UPDATE layers SET flushed = 1 WHERE diff_id = ? AND created_ms = ?', ...row);
    for (const row of batch.blobs)
      this.#sql.run('UPDATE blobs SET flushed = 1 WHERE digest = ? AND created_ms = ?', ...row);
    for (const row of batch.trees)
      this.#sql.run('UPDATE trees SET flushed = 1 WHERE diff_id = ? AND created_ms = ?', ...row);
    const tag = 'UPDATE tags SET flushed = 1, good_digest = digest WHERE reference = ? AND updated_ms = ?';
    for (const row of batch.tags) this.#sql.run(tag, ...row);
  }

  /** Makes every row one of an unknown boot: it will be verified before use. */
  distrustAll(): void {
    for (const table of ['layers', 'blobs', 'trees', 'tags'])
      this.#sql.run(`UPDATE ${table} SET boot = '', flushed = 0`);
  }

  /** True for a row that was made from its file. */
  isOfUnknownBoot(table: 'layers' | 'blobs', key: Digest): boolean {
    const column = table === 'layers' ? 'diff_id' : 'digest';
    return this.#sql.get(`SELECT 1 FROM ${table} WHERE ${column} = ? AND boot = ''`, key) !== undefined;
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
    this.#sql.run('DELETE FROM tags WHERE reference = ? AND good_digest IS NULL', reference);
    this.#sql.run('UPDATE tags SET digest = good_digest, flushed = 1 WHERE reference = ?', reference);
    return this.tag(reference)?.digest ?? null;
  }

  /** Commits from here on reach the disk before they return. */
  waitForDisk(): void {
    this.#sql.exec('PRAGMA synchronous = FULL');
  }

  close(): void {
    this.#sql.close();
  }

  /** For rows that stand for files. */
  #write(sql: string, ...values: readonly Value[]): void {
    this.#wrote = true;
    this.#sql.run(sql, ...values);
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
