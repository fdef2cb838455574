// What must be there before anything else can be looked at: format.json, the directories, the database.
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootId } from '#native';
import { type Database, openDatabase } from '../content/database.js';
import { hasCode } from '../content/faults.js';
import { filesystemOf, refuseNetwork } from '../content/filesystem.js';
import {
  formatVersion,
  looksLikeStore,
  makeDirectories,
  probeFormat,
  refuseNewer,
  writeFormat,
} from '../content/format-file.js';
import { leaseAlive, whileLocked } from '../content/lease.js';
import * as paths from '../content/paths.js';
import { moveToQuarantine } from '../content/quarantine.js';
import { rebuildDatabase } from '../content/rebuild.js';
import { schemaVersion } from '../content/schema.js';
import { type Engine, loadEngine } from '../content/sql.js';
import { StoreError } from '../errors.js';
import { failed, type Outcome, type Problem, repaired } from './finding.js';

export interface Basics {
  readonly problems: readonly Problem[];
  /** The store's own, or one in memory that was made from its files. */
  readonly database: Database;
  /** True where `database` is the store's own. */
  readonly isOwn: boolean;
}

/** @throws StoreError STORE_NOT_A_STORE, STORE_TOO_NEW, STORE_DENIED */
export async function probeBasics(dir: string, writable: boolean, boot = bootId()): Promise<Basics> {
  const problems: Problem[] = [...checkFormat(dir), ...checkDirectories(dir)];
  if (writable) refuseNetwork(dir, filesystemOf(dir));
  const engine = await loadEngine();
  const { damage, database } = probeDatabase(dir, engine, writable, boot);
  if (database !== null) return { problems, database, isOwn: true };
  problems.push({
    severity: 'problem',
    code: damage === null ? 'MISSING' : 'DAMAGED',
    kind: 'database',
    object: 'meta.db',
    path: 'meta.db',
    message: damage ?? 'the database is missing',
    neededBy: [],
    remedy: "'tsbuild fsck --repair' makes it anew from layers, blobs and tags; the build cache's index is lost",
    repair: () => makeDatabaseAnew(dir, engine, boot),
  });
  const stand = openDatabase(engine, ':memory:', boot);
  stand.create(() => rebuildDatabase(dir, stand));
  return { problems, database: stand, isOwn: false };
}

function checkFormat(dir: string): Problem[] {
  const found = fs.existsSync(dir) ? probeFormat(dir) : 'missing';
  if (typeof found === 'number') {
    refuseNewer(dir, found, formatVersion);
    return [];
  }
  if (!looksLikeStore(dir)) {
    throw new StoreError('STORE_NOT_A_STORE', {
      message: fs.existsSync(dir) ? `${dir} is no store` : `there is no store at ${dir}`,
      hint: 'choose the directory of a store with --store',
    });
  }
  return [
    {
      severity: 'problem',
      code: found === 'missing' ? 'MISSING' : 'DAMAGED',
      kind: 'store',
      object: 'format.json',
      path: 'format.json',
      message: formatProblems[found],
      neededBy: [],
      remedy: "'tsbuild fsck --repair' writes it again",
      repair: () => {
        writeFormat(dir);
        return repaired('written again');
      },
    },
  ];
}

const formatProblems = {
  missing: 'the file that makes it a store is missing',
  damaged: 'it does not say what the store is',
  unreadable: "it can't be read: input/output error",
};

function checkDirectories(dir: string): Problem[] {
  return paths
    .storeDirs(dir)
    .filter((path) => !fs.existsSync(path))
    .map((path) => ({
      severity: 'problem',
      code: 'MISSING',
      kind: 'directory',
      object: path.slice(dir.length + 1),
      path: path.slice(dir.length + 1),
      message: 'the directory is missing',
      neededBy: [],
      remedy: 'the next command makes it again',
      repair: () => {
        makeDirectories(dir);
        return repaired('made again');
      },
    }));
}

/** The database if it is whole; else what is wrong with it, null where it is not there. */
function probeDatabase(
  dir: string,
  engine: Engine,
  writable: boolean,
  boot: string,
): { readonly database: Database | null; readonly damage: string | null } {
  const path = paths.databasePath(dir);
  if (!fs.existsSync(path)) return { database: null, damage: null };
  let database: Database | undefined;
  try {
    database = writable ? openDatabase(engine, path, boot) : openCopy(dir, engine, boot);
    const version = database.version();
    refuseNewer(dir, version, schemaVersion);
    const damage = version === 0 ? ['it has no tables'] : database.damage();
    if (damage.length === 0) return { database, damage: null };
    database.close();
    return { database: null, damage: damage.join('; ') };
  } catch (error) {
    if (!hasCode(error, 'STORE_DATABASE_BROKEN', 'STORE_IO', 'SQLITE_ERROR')) throw error;
    database?.close();
    const { cause } = error as Error;
    return { database: null, damage: cause instanceof Error ? cause.message : (error as Error).message };
  }
}

/** SQLite writes beside a database even to read it: where it can't, it reads a copy. */
function openCopy(dir: string, engine: Engine, boot: string): Database {
  const copyDir = fs.mkdtempSync(join(tmpdir(), 'tsbuild-fsck-'));
  try {
    for (const name of ['meta.db', 'meta.db-wal']) {
      if (fs.existsSync(join(dir, name))) fs.copyFileSync(join(dir, name), join(copyDir, name));
    }
    return openDatabase(engine, join(copyDir, 'meta.db'), boot);
  } finally {
    // The open database keeps its files alive.
    fs.rmSync(copyDir, { recursive: true, force: true });
  }
}

/** Puts the damaged one aside, never under a running build: its rows would go to a file that nobody reads. */
async function makeDatabaseAnew(dir: string, engine: Engine, boot: string): Promise<Outcome> {
  for (const name of fs.readdirSync(paths.tmpDir(dir))) {
    if (!name.endsWith('.lock') || name.startsWith('step-')) continue;
    if (await leaseAlive(dir, name.slice(0, -'.lock'.length))) {
      return failed('another process is using the store: wait for it to end');
    }
  }
  return whileLocked(dir, 'exclusive', () => {
    for (const name of ['meta.db', 'meta.db-wal', 'meta.db-shm', 'meta.db-journal']) {
      const note = { kind: 'database', object: name, reason: 'SQLite could not read it', neededBy: [] };
      moveToQuarantine(dir, join(dir, name), note);
    }
    const database = openDatabase(engine, paths.databasePath(dir), boot);
    database.create(() => rebuildDatabase(dir, database));
    database.close();
    return repaired('made anew from layers, blobs and tags; what was left of the old one is in quarantine/');
  });
}
