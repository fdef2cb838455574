// The tables `leases` and `lease_refs` of meta.db: who uses what. A row alone proves nothing: see lease.ts.
import type { Digest } from '../words.js';
import type { Sql } from './sql.js';

export class LeaseTables {
  readonly #sql: Sql;
  readonly #boot: string;

  constructor(sql: Sql, boot: string) {
    this.#sql = sql;
    this.#boot = boot;
  }

  put(id: string, purpose: string): void {
    this.#sql.run('INSERT INTO leases VALUES (?, ?, ?, ?, ?)', id, purpose, process.pid, this.#boot, Date.now());
  }

  all(): { readonly id: string; readonly purpose: string; readonly pid: number }[] {
    return this.#sql.all('SELECT * FROM leases').map((row) => ({
      id: String(row.id),
      purpose: String(row.purpose),
      pid: Number(row.pid),
    }));
  }

  /** With all that it refers to; inside a transaction. */
  delete(id: string): void {
    this.#sql.run('DELETE FROM leases WHERE id = ?', id);
    this.#sql.run('DELETE FROM lease_refs WHERE lease = ?', id);
  }

  putRef(lease: string, object: Digest): void {
    this.#sql.run('INSERT OR IGNORE INTO lease_refs VALUES (?, ?)', lease, object);
  }

  refs(): { readonly lease: string; readonly object: Digest }[] {
    return this.#sql.all('SELECT * FROM lease_refs').map((row) => ({
      lease: String(row.lease),
      object: row.object as Digest,
    }));
  }
}
