// The tables `builds` and `steps` of meta.db. @see builds.ts
import type { Digest } from '../words.js';
import type { BuildRow } from './schema.js';
import type { Row, Sql } from './sql.js';

export class HistoryTables {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  putBuild(row: BuildRow): void {
    this.#sql.run(
      'INSERT INTO builds VALUES (?, ?, ?, ?, ?, ?, ?)',
      ...[row.id, row.place, row.startedMs, row.durationMs, row.outcome, row.image, row.record],
    );
  }

  /** Newest first. @param place null: any */
  builds(place: string | null, limit: number): BuildRow[] {
    const where = place === null ? '' : 'WHERE place = ?';
    const values = place === null ? [limit] : [place, limit];
    return this.#sql
      .all(`SELECT * FROM builds ${where} ORDER BY started_ms DESC, rowid DESC LIMIT ?`, ...values)
      .map(buildRow);
  }

  /** Those whose id begins with `prefix`, newest first. */
  buildsNamed(prefix: string): BuildRow[] {
    return this.#sql
      .all('SELECT * FROM builds WHERE id GLOB ? ORDER BY started_ms DESC, rowid DESC', `${prefix}*`)
      .map(buildRow);
  }

  /** How many there are of a place, and of all. */
  countBuilds(place: string): { readonly ofPlace: number; readonly ofAll: number } {
    const row = this.#sql.get('SELECT sum(place = ?) AS of_place, count(*) AS of_all FROM builds', place);
    return { ofPlace: Number(row?.of_place), ofAll: Number(row?.of_all) };
  }

  /** Drops all but the newest builds of a place, and of all. */
  keepBuilds(place: string, ofPlace: number, ofAll: number): void {
    this.#sql.run(
      `DELETE FROM builds WHERE place = ?1 AND id NOT IN
       (SELECT id FROM builds WHERE place = ?1 ORDER BY started_ms DESC, rowid DESC LIMIT ?2)`,
      ...[place, ofPlace],
    );
    this.#sql.run(
      'DELETE FROM builds WHERE id NOT IN (SELECT id FROM builds ORDER BY started_ms DESC, rowid DESC LIMIT ?)',
      ofAll,
    );
  }

  deleteBuildsBefore(startedMs: number): void {
    this.#sql.run('DELETE FROM builds WHERE started_ms < ?', startedMs);
  }

  putStep(key: string, record: string): void {
    this.#sql.run('INSERT OR IGNORE INTO steps VALUES (?, ?)', key, record);
  }

  step(key: string): string | null {
    const row = this.#sql.get('SELECT record FROM steps WHERE key = ?', key);
    return row ? String(row.record) : null;
  }

  hasStep(key: string): boolean {
    return this.#sql.get('SELECT 1 FROM steps WHERE key = ?', key) !== undefined;
  }

  /** Drops the steps that no build names. */
  deleteLostSteps(): void {
    this.#sql.run(
      `DELETE FROM steps WHERE key NOT IN (SELECT json_extract(step.value, '$.key') AS step_key
       FROM builds, json_each(builds.record, '$.steps') AS step WHERE step_key IS NOT NULL)`,
    );
  }
}

function buildRow(row: Row): BuildRow {
  return {
    id: String(row.id),
    place: String(row.place),
    startedMs: Number(row.started_ms),
    durationMs: Number(row.duration_ms),
    outcome: row.outcome as BuildRow['outcome'],
    image: row.image === null ? null : (row.image as Digest),
    record: String(row.record),
  };
}
