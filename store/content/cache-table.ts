// The table `cache` of meta.db: which layer a step with which key made. @see cache.ts
import type { DiffId } from '../words.js';
import type { CacheRow } from './schema.js';
import type { Row, Sql } from './sql.js';

export class CacheTable {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  put(key: string, diffId: DiffId | null, inputs: string, createdMs: number): void {
    this.#sql.run('INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?, ?)', key, diffId, inputs, createdMs, Date.now());
  }

  find(key: string): CacheRow | null {
    const row = this.#sql.get('SELECT * FROM cache WHERE key = ?', key);
    return row ? cacheRow(row) : null;
  }

  all(): CacheRow[] {
    return this.#sql.all('SELECT * FROM cache').map(cacheRow);
  }

  touch(key: string): void {
    this.#sql.run('UPDATE cache SET used_ms = ? WHERE key = ?', Date.now(), key);
  }

  delete(key: string): void {
    this.#sql.run('DELETE FROM cache WHERE key = ?', key);
  }
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
