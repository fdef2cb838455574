// The tables `repository_manifests` and `repository_blobs` of meta.db: what clients of `serve` put into which repository, beyond
// what its tags lead to. Cheap to lose: what tags lead to is not in them.
import type { Digest } from '../words.js';
import type { Row, Sql } from './sql.js';

export interface RepositoryManifestRow {
  /** Without tag, in full form: 'docker.io/library/app'. */
  readonly repository: string;
  readonly digest: Digest;
  /** Manifest that this one is about. */
  readonly subject: Digest | null;
  /** Until then the collector leaves it, whether or not something refers to it. */
  readonly keepUntilMs: number;
}

export class RepositoryTables {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  putManifest({ repository, digest, subject, keepUntilMs }: RepositoryManifestRow): void {
    this.#sql.run(
      'INSERT OR REPLACE INTO repository_manifests VALUES (?, ?, ?, ?)',
      ...[repository, digest, subject, keepUntilMs],
    );
  }

  hasManifest(repository: string, digest: Digest): boolean {
    const sql = 'SELECT 1 FROM repository_manifests WHERE repository = ? AND digest = ?';
    return this.#sql.get(sql, repository, digest) !== undefined;
  }

  manifests(repository: string): Digest[] {
    return this.#sql.all('SELECT digest FROM repository_manifests WHERE repository = ?', repository).map(digestOf);
  }

  /** What is about `subject`, in the order of digests. */
  referrers(repository: string, subject: Digest): Digest[] {
    const sql = 'SELECT digest FROM repository_manifests WHERE subject = ? AND repository = ? ORDER BY digest';
    return this.#sql.all(sql, subject, repository).map(digestOf);
  }

  /** What is about something, in any repository. */
  allReferrers(): { readonly subject: Digest; readonly digest: Digest }[] {
    return this.#sql
      .all('SELECT DISTINCT subject, digest FROM repository_manifests WHERE subject IS NOT NULL')
      .map((row) => ({ subject: row.subject as Digest, digest: digestOf(row) }));
  }

  /** False if it was not there. */
  deleteManifest(repository: string, digest: Digest): boolean {
    const sql = 'DELETE FROM repository_manifests WHERE repository = ? AND digest = ?';
    return this.#sql.run(sql, repository, digest) > 0;
  }

  /** Those that have manifests in them which were put by a client. */
  repositories(): string[] {
    return this.#sql
      .all('SELECT DISTINCT repository FROM repository_manifests')
      .map(({ repository }) => String(repository));
  }

  putBlob(repository: string, digest: Digest, keepUntilMs: number): void {
    this.#sql.run('INSERT OR REPLACE INTO repository_blobs VALUES (?, ?, ?)', repository, digest, keepUntilMs);
  }

  hasBlob(repository: string, digest: Digest): boolean {
    const sql = 'SELECT 1 FROM repository_blobs WHERE repository = ? AND digest = ?';
    return this.#sql.get(sql, repository, digest) !== undefined;
  }

  hasBlobs(repository: string): boolean {
    return this.#sql.get('SELECT 1 FROM repository_blobs WHERE repository = ? LIMIT 1', repository) !== undefined;
  }

  blobs(repository: string): Digest[] {
    return this.#sql.all('SELECT digest FROM repository_blobs WHERE repository = ?', repository).map(digestOf);
  }

  repositoriesWithBlob(digest: Digest): string[] {
    return this.#sql
      .all('SELECT repository FROM repository_blobs WHERE digest = ?', digest)
      .map(({ repository }) => String(repository));
  }

  /** False if it was not there. */
  deleteBlob(repository: string, digest: Digest): boolean {
    return this.#sql.run('DELETE FROM repository_blobs WHERE repository = ? AND digest = ?', repository, digest) > 0;
  }

  /** What was put so lately that it stays though nothing may refer to it yet. */
  kept(nowMs: number): Digest[] {
    const sql = `SELECT digest FROM repository_manifests WHERE keep_until_ms > ?1
      UNION SELECT digest FROM repository_blobs WHERE keep_until_ms > ?1`;
    return this.#sql.all(sql, nowMs).map(digestOf);
  }

  /** Drops rows of what the store no longer has. */
  sweep(): void {
    this.#sql.run('DELETE FROM repository_manifests WHERE digest NOT IN (SELECT digest FROM blobs)');
    this.#sql.run(
      `DELETE FROM repository_blobs WHERE digest NOT IN (SELECT digest FROM blobs)
       AND digest NOT IN (SELECT diff_id FROM layers)`,
    );
  }
}

function digestOf(row: Row): Digest {
  return row.digest as Digest;
}
