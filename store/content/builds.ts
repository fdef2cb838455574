// What was built, and of what: a small history. A build's record names its steps by their cache keys; what a key was made
// of is kept once, in the row of its step. Long lists of files lie beside the database, in cache/inputs/<key>.
//
// The history outlives cache records, so that it can be told of a step that it was removed. Losing any of it costs nothing but
// an explanation: a list that is missing or torn counts as none.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from './database.js';
import { hasCode } from './faults.js';
import type { Store } from './handle.js';
import { inputsDir } from './paths.js';
import type { BuildRow } from './schema.js';

/** Builds kept of one place, and of all. */
const keptOfPlace = 20;
const keptOfAll = 200;
/** Before old ones go, all at once, there may be so many more. */
const spare = 10;
const keptMs = 30 * 86_400_000;
/** A longer list would make the database slow to open. */
const inlineChars = 8192;

/** One build that has ended. */
export interface BuildRecord extends Omit<BuildRow, 'record'> {
  /** Its own words, with `steps` among them, each of which may have a `key`. */
  readonly record: unknown;
}

export interface NewStep {
  readonly key: string;
  /** What the key was made of. */
  readonly record: unknown;
  /** All the files that it was made of, as text of single bytes; null where there are none. */
  readonly files: string | null;
}

export interface KnownStep {
  readonly record: unknown;
  /** Null: there are none, or they are lost. */
  readonly files: string | null;
}

/** A fresh name for a build. */
export function newBuildId(): string {
  return randomBytes(6).toString('hex');
}

/** Keeps a build and its new steps; of many builds the oldest go. @throws StoreError STORE_READ_ONLY, STORE_FULL */
export function recordBuild(store: Store, build: BuildRecord, steps: readonly NewStep[]): void {
  store.requireWritable();
  const { database, dir } = store;
  const rows = steps.map((step) => {
    const isLong = (step.files?.length ?? 0) > inlineChars;
    if (isLong) writeFiles(dir, step.key, step.files!);
    return { key: step.key, row: JSON.stringify({ record: step.record, files: isLong ? null : step.files }) };
  });
  const pruned = database.transaction(() => {
    for (const { key, row } of rows) database.history.putStep(key, row);
    database.history.putBuild({ ...build, record: JSON.stringify(build.record) });
    const { ofPlace, ofAll } = database.history.countBuilds(build.place);
    if (ofPlace <= keptOfPlace + spare && ofAll <= keptOfAll + spare) return false;
    database.history.keepBuilds(build.place, keptOfPlace, keptOfAll);
    database.history.deleteLostSteps();
    return true;
  });
  if (pruned) removeLostFiles(dir, database);
}

/** The newest builds, of one place or of all (null), newest first. */
export function lastBuilds(store: Store, place: string | null, limit: number): BuildRecord[] {
  return store.database.history.builds(place, limit).map(parsed);
}

/** Builds whose id begins with `prefix`, newest first. */
export function findBuilds(store: Store, prefix: string): BuildRecord[] {
  return /^[0-9a-f]+$/.test(prefix) ? store.database.history.buildsNamed(prefix).map(parsed) : [];
}

export function hasStep(store: Store, key: string): boolean {
  return store.database.history.hasStep(key);
}

/** What a key was made of; null if no build that is still known had it. */
export function findStep(store: Store, key: string): KnownStep | null {
  const row = store.database.history.step(key);
  if (row === null) return null;
  const step = JSON.parse(row) as KnownStep;
  return step.files === null ? { ...step, files: readFiles(store.dir, key) } : step;
}

/** Inside the collector's transaction: drops the builds of long ago, and steps that no build has. */
export function sweepBuilds({ database, dir }: Store): void {
  database.history.deleteBuildsBefore(Date.now() - keptMs);
  database.history.deleteLostSteps();
  removeLostFiles(dir, database);
}

function parsed(row: BuildRow): BuildRecord {
  return { ...row, record: JSON.parse(row.record) as unknown };
}

/** Says that the list before it is whole. */
const end = '\0end';

function writeFiles(dir: string, key: string, files: string): void {
  const path = join(inputsDir(dir), key);
  const temp = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    mkdirSync(inputsDir(dir), { recursive: true, mode: 0o700 });
    writeFileSync(temp, files + end, { encoding: 'latin1', mode: 0o600, flag: 'wx' });
    renameSync(temp, path);
  } catch {
    rmSync(temp, { force: true });
  }
}

function readFiles(dir: string, key: string): string | null {
  try {
    const text = readFileSync(join(inputsDir(dir), key), 'latin1');
    return text.endsWith(end) ? text.slice(0, -end.length) : null;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EACCES', 'EIO')) return null;
    throw error;
  }
}

function removeLostFiles(dir: string, database: Database): void {
  for (const name of readIfThere(inputsDir(dir))) {
    const [key = ''] = name.split('.');
    if (key !== name || !database.history.hasStep(key)) rmSync(join(inputsDir(dir), name), { force: true });
  }
}

function readIfThere(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}
