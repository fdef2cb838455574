// The tables of meta.db and what their rows look like here. @see store/FORMAT.md
import type { DiffId, Digest } from '../words.js';

export const schemaVersion = 3;

/** What builds were made of. `steps` has no reference to `builds`: those name their steps by key, and many share them. */
const historyTables = `
CREATE TABLE builds (id TEXT PRIMARY KEY, place TEXT NOT NULL, started_ms INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
  outcome TEXT NOT NULL, image TEXT, record TEXT NOT NULL);
CREATE INDEX builds_by_time ON builds (started_ms);
CREATE INDEX builds_by_place ON builds (place, started_ms);
CREATE TABLE steps (key TEXT PRIMARY KEY, record TEXT NOT NULL);`;

/** What clients of `serve` put into which repository. */
const repositoryTables = `
CREATE TABLE repository_manifests (repository TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT,
  keep_until_ms INTEGER NOT NULL, PRIMARY KEY (repository, digest)) WITHOUT ROWID;
CREATE INDEX repository_manifests_by_subject ON repository_manifests (subject) WHERE subject IS NOT NULL;
CREATE TABLE repository_blobs (repository TEXT NOT NULL, digest TEXT NOT NULL, keep_until_ms INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)) WITHOUT ROWID;
CREATE INDEX repository_blobs_by_digest ON repository_blobs (digest);`;

export const schema = `
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
CREATE INDEX unflushed_tags ON tags (reference) WHERE flushed = 0;${historyTables}${repositoryTables}
PRAGMA user_version = ${schemaVersion};`;

/** The tables that a database of this version has. */
export function tableNames(version: number): string[] {
  const later = [...(version < 2 ? [historyTables] : []), ...(version < 3 ? [repositoryTables] : [])];
  const text = later.reduce((whole, tables) => whole.replace(tables, ''), schema);
  return [...text.matchAll(/CREATE TABLE (\w+)/g)].map(([, name]) => name!);
}

/** From each version to the next one. */
export const migrations: Readonly<Record<number, string>> = {
  1: `${historyTables} PRAGMA user_version = 2;`,
  2: `${repositoryTables} PRAGMA user_version = 3;`,
};

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

export interface BuildRow {
  readonly id: string;
  /** Builds of the same Buildfile and context have the same. */
  readonly place: string;
  readonly startedMs: number;
  readonly durationMs: number;
  readonly outcome: 'done' | 'failed' | 'interrupted';
  /** Digest of the manifest it made. */
  readonly image: Digest | null;
  /** JSON. */
  readonly record: string;
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
